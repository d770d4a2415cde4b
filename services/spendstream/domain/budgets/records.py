"""Alert records of budgets as schemas/Alert.avsc, without state, revision and emission: the book adds those."""

from typing import Any

from spendstream.domain.alerts import Record
from spendstream.domain.budgets import wording
from spendstream.domain.budgets.counters import Counter, Tracked
from spendstream.domain.budgets.model import BurnSignal, Level
from spendstream.domain.budgets.signals import forecast
from spendstream.domain.budgets.windows import HOUR
from spendstream.domain.money import on_wire
from spendstream.domain.wording import usd


def level_alert(tracked: Tracked, counter: Counter, level: Level, late: bool, now: int, drivers: str) -> Record:
    """The alert of a ladder level the spend has reached."""
    budget, amount = tracked.budget, tracked.budget.amount_pico_usd
    projected = None if tracked.is_rolling else forecast(counter.spent, counter.start, counter.end, now)
    over = counter.spent - amount
    at_stake = over if over > 0 else max(0, (projected or 0) - amount)
    elapsed = max(HOUR // 60, min(now, counter.end) - counter.start)
    return _alert(
        tracked,
        tracked.identity_start(counter),
        alert_id=tracked.alert_id(tracked.identity_start(counter)),
        name=budget.name,
        severity=level.severity,
        title=wording.level_title(budget, counter.start, counter.spent, level),
        description=wording.level_description(budget, level, drivers),
        started_at=counter.event_at,
        updated_at=counter.event_at,
        window_end=None if tracked.is_rolling else counter.end,
        level=float(level.at),
        observed_pico_usd=on_wire(counter.spent),
        at_stake_pico_usd=on_wire(at_stake),
        per_hour_pico_usd=on_wire(counter.spent * HOUR // elapsed) if at_stake and not late else None,
        late=late,
    )


def forecast_alert(tracked: Tracked, counter: Counter, projected: int, now: int, drivers: str) -> Record:
    """The alert of a window that is heading beyond its amount."""
    budget = tracked.budget
    return _alert(
        tracked,
        counter.start,
        alert_id=tracked.alert_id(counter.start, "/forecast"),
        name=f"{budget.name}/forecast",
        severity="warning",
        title=wording.forecast_title(budget, counter.start, projected),
        description=f"{usd(counter.spent)} spent so far, projected at the same pace. {drivers}".strip(),
        started_at=now,
        updated_at=now,
        window_end=counter.end,
        observed_pico_usd=on_wire(counter.spent),
        expected_pico_usd=on_wire(projected),
        at_stake_pico_usd=on_wire(max(0, projected - budget.amount_pico_usd)),
        per_hour_pico_usd=on_wire(counter.spent * HOUR // (now - counter.start)),
    )


def burn_alert(
    tracked: Tracked, start: int, now: int, signal: BurnSignal, spent: int, allowed: int, rate: float
) -> Record:
    """The alert of a burn-rate incident that began at `start`; `spent` and `allowed`: over the signal's long window."""
    budget = tracked.budget
    return _alert(
        tracked,
        start,
        alert_id=tracked.alert_id(start, "/burn-rate"),
        name=f"{budget.name}/burn-rate",
        severity=signal.severity,
        title=wording.burn_title(budget, rate, signal),
        description=f"{usd(spent)} in the last {wording.span_text(signal.long)}.",
        started_at=start,
        updated_at=now,
        window_end=None,
        observed_pico_usd=on_wire(spent),
        expected_pico_usd=on_wire(allowed),
        at_stake_pico_usd=on_wire(spent - allowed),
        per_hour_pico_usd=on_wire(spent * HOUR // signal.long),
        score=rate,
    )


def _alert(tracked: Tracked, window_start: int, **fields: Any) -> Record:
    budget = tracked.budget
    return {
        "org": budget.org,
        "kind": "budget",
        "scope": dict(budget.scope),
        "owner": dict(budget.scope).get("team", ""),
        "window_start": window_start,
        "level": None,
        "limit_pico_usd": budget.amount_pico_usd,
        "expected_pico_usd": None,
        "score": None,
        "root_cause": "",
        "link": "",
        "runbook": wording.RUNBOOK,
        "late": False,
        **fields,
    }
