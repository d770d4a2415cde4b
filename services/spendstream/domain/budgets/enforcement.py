"""What callers of a scope may do now: the strictest action over its budgets, published only when it changes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from spendstream.domain.alerts import Record
from spendstream.domain.budgets.counters import Tracked
from spendstream.domain.budgets.model import ACTIONS
from spendstream.domain.budgets.scopes import Scope, scope_key
from spendstream.domain.budgets.windows import QUARTER_HOUR, micros
from spendstream.domain.money import on_wire

ScopeId = tuple[str, Scope]


@dataclass(slots=True)
class EnforcementBook:
    """The last published state per (org, scope key): revisions count on, an unchanged state is never published."""

    published: dict[tuple[str, str], Record] = field(default_factory=dict)

    def publish(self, scope: ScopeId, budgets: Iterable[Tracked], now: int) -> Record | None:
        """The scope's state at `now` as schemas/EnforcementState.avsc, or None when callers know it already."""
        state = strictest(scope, budgets, now)
        known = self.published.get((state["org"], state["scope_key"]))
        if known is None and not state["budgets"]:
            return None  # nothing was ever said: allowed is the default
        if known is not None and _meaning(known) == _meaning(state):
            return None
        record = {**state, "updated_at": now, "revision": known["revision"] + 1 if known else 1}
        self.published[state["org"], state["scope_key"]] = record
        return record

    def recall(self, record: Mapping[str, Any]) -> None:
        """Learn a state read back from the `enforcement` topic after a crash; times as decoded or microseconds."""
        learnt = _in_micros(record)
        known = self.published.get((learnt["org"], learnt["scope_key"]))
        if known is None or learnt["revision"] > known["revision"]:
            self.published[learnt["org"], learnt["scope_key"]] = learnt

    def scopes(self) -> list[ScopeId]:
        """Every scope a state was published for."""
        return [
            (record["org"], tuple((k, v) for k, v in record["scope"].items() if k != "org"))
            for record in self.published.values()
        ]


def strictest(scope: ScopeId, budgets: Iterable[Tracked], now: int) -> Record:
    """The state without revision. Budgets that allow are left out, but per-request ceilings: those a caller checks.

    `exempt` is what all budgets with the strictest action exempt; `valid_until` the first end of a window behind it.
    """
    org, pairs = scope
    acting = [(tracked, *_entry(tracked, now)) for tracked in sorted(budgets, key=lambda tracked: tracked.key)]
    listed = [(t, entry, until) for t, entry, until in acting if entry["action"] != "allow" or t.is_ceiling]
    action = max((entry["action"] for _, entry, _ in listed), key=ACTIONS.index, default="allow")
    strict = [t for t, entry, _ in listed if entry["action"] == action != "allow"]
    by_strictness = sorted(listed, key=lambda item: -ACTIONS.index(item[1]["action"]))
    return {
        "org": org,
        "scope_key": scope_key(org, pairs),
        "scope": dict(pairs) or {"org": org},
        "action": action,
        "fallback_model": next((t.budget.fallback_model for t, _, _ in by_strictness if t.budget.fallback_model), None),
        "budgets": [entry for _, entry, _ in listed],
        "exempt": _common_exempt(strict),
        "valid_until": min((until for _, _, until in listed if until is not None), default=None),
    }


def _entry(tracked: Tracked, now: int) -> tuple[Record, int | None]:
    """One budget's line of the state, and until when it holds."""
    counter = tracked.current(now)
    action = "allow" if counter is None else tracked.action(counter)
    line = {
        "name": tracked.budget.name,
        "action": action,
        "spent_pico_usd": on_wire(counter.spent) if counter else 0,
        "amount_pico_usd": tracked.budget.amount_pico_usd,
        "window_start": counter.start if counter else None,
        "window_end": counter.end if counter else None,
    }
    if counter is None:
        return line, None
    # A rolling window is renewed every quarter-hour; one to spare bridges the time until the renewal is out.
    return line, counter.end + (QUARTER_HOUR if tracked.is_rolling else 0)


def _common_exempt(strict: list[Tracked]) -> dict[str, str]:
    exempts = [{key: set(values) for key, values in tracked.budget.exempt} for tracked in strict]
    if not exempts:
        return {}
    common = {key: set.intersection(*(exempt.get(key, set()) for exempt in exempts)) for key in exempts[0]}
    return {key: ",".join(sorted(values)) for key, values in common.items() if values}


def _meaning(record: Mapping[str, Any]) -> Any:
    """What callers act on: spend goes on changing and is not part of it."""
    budgets = [{k: v for k, v in budget.items() if k != "spent_pico_usd"} for budget in record["budgets"]]
    return [record["action"], record["fallback_model"], record["exempt"], record["valid_until"], budgets]


def _in_micros(value: Any) -> Any:
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, Mapping):
        return {key: _in_micros(item) for key, item in value.items()}
    return [_in_micros(item) for item in value] if isinstance(value, list) else value
