"""The budgets engine: cost differences in, alerts and enforcement out. Pure: time is an argument."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from spendstream.domain.alerts import AlertBook, Record
from spendstream.domain.budgets.counters import Counter, Tracked
from spendstream.domain.budgets.counting import Counting
from spendstream.domain.budgets.cube import Ints
from spendstream.domain.budgets.documents import parse_budget
from spendstream.domain.budgets.enforcement import EnforcementBook, ScopeId
from spendstream.domain.budgets.ladder import Turn, evaluate, reconsider, resolve_ended
from spendstream.domain.budgets.model import Budget, as_spec
from spendstream.domain.budgets.outlook import watch_burn_rate, watch_forecast
from spendstream.domain.budgets.spend import HORIZON, Spend, grouped
from spendstream.domain.budgets.standing import adopt, withdraw
from spendstream.domain.budgets.status import status_row
from spendstream.domain.budgets.windows import HOUR, MINUTE, QUARTER_HOUR

VERSION: Final = 1

Hits = list[tuple[Tracked, Counter]]


@dataclass(frozen=True, slots=True)
class Changes:
    """What one call brought about, in order of publication.

    `alerts`: schemas/Alert.avsc, key `alert_id`. `enforcement`: schemas/EnforcementState.avsc, key org and `scope_key`.
    `status`: the last word on windows that are over (`BudgetEngine.status` has the running ones). `too_old`: deltas
    beyond the horizon, which count nowhere.
    """

    alerts: list[Record] = field(default_factory=list)
    enforcement: list[Record] = field(default_factory=list)
    status: list[dict[str, Any]] = field(default_factory=list)
    too_old: int = 0


class BudgetEngine:
    """Counts spend per budget and window. Instants are microseconds UTC; of all `now` given, the largest counts.

    A window is over when `now` reaches its end; spend that arrives afterwards is late: it may fire levels but never
    enforces. After a crash: `restore` the snapshot, `recall` what was published since, `set_documents` as they are now,
    replay what the snapshot lacks, then say `caught_up`.
    """

    def __init__(self, spend: Spend | None = None, book: AlertBook | None = None) -> None:
        self._spend, self._book = spend or Spend(), book or AlertBook()
        self._counting = Counting(self._spend, self._book)
        self._enforcement = EnforcementBook()
        self._by_scope: dict[ScopeId, list[Tracked]] = {}
        self._hits: dict[int, Hits] = {}
        self._held: set[ScopeId] | None = None
        self._now = 0
        self._looked_ahead = self._pruned = -1

    @classmethod
    def initialise(cls, budgets: Iterable[Budget], now: int) -> "tuple[BudgetEngine, Changes]":
        """A fresh engine with these documents; per-request ceilings are published at once."""
        engine = cls()
        return engine, engine.set_documents(budgets, now)

    def update(self, deltas: pl.DataFrame, now: int) -> Changes:
        """Count owner-grain cost differences: columns of DIMENSIONS (str), `minute` (microseconds), `cost_pico_usd`.

        Levels are judged along the running sums, so that results do not depend on where batches are cut.
        """
        turn = self._begin(now)
        fresh = deltas.filter(pl.col("minute") >= turn.now - HORIZON)
        if fresh.height:
            self._count(fresh, turn)
        return self._end(turn, deltas.height - fresh.height)

    def tick(self, now: int) -> Changes:
        """Let time pass: windows end or slide; once a minute forecasts and burn rates are looked at."""
        turn = self._begin(now)
        if turn.now // MINUTE != self._looked_ahead:
            self._looked_ahead = turn.now // MINUTE
            for tracked in self._counting.tracked.values():
                watch_forecast(self._book, tracked, turn)
                watch_burn_rate(self._book, self._spend, tracked, turn)
        if turn.now // HOUR != self._pruned:
            self._prune(turn.now)
        return self._end(turn)

    def set_documents(self, budgets: Iterable[Budget], now: int) -> Changes:
        """Replace all budgets. A new or changed one counts the spend already in its window; a withdrawn one lets go."""
        turn = self._begin(now)
        old, tracked = self._counting.tracked, {}
        for budget in budgets:
            known = old.get((budget.org, budget.name))
            unchanged = known is not None and known.budget == budget
            new = known if known and unchanged else known.successor(budget) if known else Tracked.of(budget)
            tracked[new.key] = new
        changed = [item for key, item in tracked.items() if old.get(key) is not item]
        for item in [*changed, *(item for key, item in old.items() if tracked.get(key) is not item)]:
            turn.touch(item)
        self._track(tracked)
        turn.dirty.update(scope for scope in self._enforcement.scopes() if scope not in self._by_scope)
        for item in changed:
            self._judge(item, turn)
        withdraw(self._book, tracked.values(), turn)
        return self._end(turn)

    def recall(self, alerts: Iterable[Mapping[str, Any]] = (), enforcement: Iterable[Mapping[str, Any]] = ()) -> None:
        """Learn records read back from the topics, oldest first: nothing in them is ever published again.

        Counters lag behind what was published until the replay is done, so enforcement is held back until `caught_up`:
        half a replay must not lift a block.
        """
        for record in alerts:
            if record["kind"] == "budget":
                self._book.recall(record)
        for record in enforcement:
            self._enforcement.recall(record)
        self._held = self._held or set()
        adopt(self._book, self._counting.tracked)

    def caught_up(self, now: int) -> Changes:
        """The replay after `recall` is done: publish the enforcement that has changed."""
        turn = self._begin(now)
        turn.dirty.update(self._enforcement.scopes(), self._held or ())
        self._held = None
        return self._end(turn)

    def acknowledge(self, alert: Mapping[str, Any]) -> None:
        """Learn that somebody published `alert` as acknowledged; it stays so until it resolves or becomes worse."""
        if alert["kind"] == "budget" and alert["state"] == "acknowledged":
            self._book.recall(alert)

    def status(self, now: int) -> list[dict[str, Any]]:
        """One row of table `budget_status` per budget for the window that holds `now`."""
        return [
            status_row(self._book, tracked, tracked.calendar.at(now), tracked.current(now), now)
            for tracked in self._counting.tracked.values()
            if not tracked.is_ceiling
        ]

    def snapshot(self) -> dict[str, Any]:
        """Everything needed to go on, as plain values that JSON can carry."""
        tracked = self._counting.tracked.values()
        return {
            "version": VERSION,
            "now": self._now,
            "budgets": [[t.org, t.budget.name, as_spec(t.budget), t.anchor, t.burning_since] for t in tracked],
            "counters": self._counting.snapshot(),
            "spend": self._spend.snapshot(),
            "alerts": self._book.snapshot(),
            "enforcement": list(self._enforcement.published.values()),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "BudgetEngine":
        """The engine that `snapshot` described. ValueError for a snapshot this version cannot read: rebuild instead."""
        if state.get("version") != VERSION:
            raise ValueError(f"budget snapshot has version {state.get('version')}, this engine reads {VERSION}")
        engine = cls(Spend.restore(state["spend"]), AlertBook.restore(state["alerts"]))
        engine._now = state["now"]
        tracked: dict[tuple[str, str], Tracked] = {}
        for org, name, spec, anchor, burning_since in state["budgets"]:
            budget, errors = parse_budget(org, name, spec)
            if budget is None:
                raise ValueError(f"budget {name} of the snapshot cannot be read: {errors}")
            tracked[org, name] = Tracked.of(budget)
            tracked[org, name].anchor, tracked[org, name].burning_since = anchor, burning_since
        engine._track(tracked)
        engine._counting.restore(state["counters"], engine._now)
        for record in state["enforcement"]:
            engine._enforcement.recall(record)
        return engine

    @property
    def size(self) -> tuple[int, int]:
        """Entries of the spend cubes and the bytes of their arrays."""
        return self._spend.size

    def _begin(self, now: int) -> Turn:
        self._now = max(self._now, now)
        turn = Turn(self._now, self._spend.drivers)
        if self._counting.advance(turn):
            self._hits.clear()
        resolve_ended(self._book, turn)
        return turn

    def _end(self, turn: Turn, too_old: int = 0) -> Changes:
        if self._held is not None:
            self._held |= turn.dirty
            turn.dirty.clear()
        states = (
            self._enforcement.publish(scope, self._by_scope.get(scope, ()), turn.now) for scope in sorted(turn.dirty)
        )
        final = [
            status_row(self._book, tracked, (counter.start, counter.end), counter, turn.now)
            for tracked, counter in turn.final.values()
        ]
        return Changes(turn.alerts, [state for state in states if state is not None], final, too_old)

    def _count(self, deltas: pl.DataFrame, turn: Turn) -> None:
        minutes = deltas["minute"].cast(pl.Int64).to_numpy()
        cost = deltas["cost_pico_usd"].to_numpy()
        combos = self._spend.number(deltas)
        group_minutes, group_combos, place = grouped(minutes, combos)
        # Counters open at what the cube holds without this batch, then the batch is added to both.
        hits = self._find(group_minutes, group_combos, turn.now)
        self._spend.add(minutes, combos, cost, turn.now)
        if cost.min() >= 0:
            self._count_rising(hits, group_minutes, _sums(place, cost, len(hits)), turn)
        else:
            self._count_in_order(hits, minutes, place, cost, turn)

    def _find(self, minutes: Ints, combos: Ints, now: int) -> list[Hits]:
        """The counters each pair falls in. Remembered per quarter-hour until a counter comes, goes or slides."""
        hits, known = [], self._hits
        keys = (minutes // QUARTER_HOUR << 32) | combos
        for key, minute, combo in zip(keys.tolist(), minutes.tolist(), combos.tolist(), strict=True):
            found = known.get(key)
            if found is None:
                found = known[key] = self._counting.counters(self._spend.budgets_of(combo), minute, now)
            hits.append(found)
        return hits

    def _count_rising(self, hits: list[Hits], minutes: Ints, sums: list[int], turn: Turn) -> None:
        """Where spend only rises, its last value says which levels it passed."""
        touched: dict[int, tuple[Tracked, Counter]] = {}
        for group, minute, pico_usd in zip(hits, minutes.tolist(), sums, strict=True):
            for hit in group:
                counter = hit[1]
                counter.spent += pico_usd
                counter.event_at = max(counter.event_at, minute)
                touched[id(counter)] = hit
        for tracked, counter in touched.values():
            evaluate(self._book, tracked, counter, turn)

    def _count_in_order(self, hits: list[Hits], minutes: Ints, place: Ints, cost: Ints, turn: Turn) -> None:
        """With corrections in the batch every running sum counts: a level passed on the way is a level reached."""
        for minute, group, pico_usd in zip(minutes.tolist(), place.tolist(), cost.tolist(), strict=True):
            for tracked, counter in hits[group]:
                counter.spent += pico_usd
                counter.event_at = max(counter.event_at, minute)
                evaluate(self._book, tracked, counter, turn)

    def _track(self, tracked: dict[tuple[str, str], Tracked]) -> None:
        self._counting.tracked = tracked
        self._hits.clear()
        self._spend.watch(tracked.values())
        self._by_scope = {}
        for item in tracked.values():
            self._by_scope.setdefault((item.org, item.scope), []).append(item)
        adopt(self._book, self._counting.tracked)

    def _judge(self, tracked: Tracked, turn: Turn) -> None:
        """Count what is already spent under a new or changed document and publish what it means."""
        if tracked.is_ceiling:
            return
        if tracked.current(turn.now) is None:
            start, end = tracked.calendar.at(turn.now)
            if self._spend.of(tracked, start, end):
                self._counting.open(tracked, start, end, turn.now)
        for counter in tracked.counters.values():
            if not counter.closed:
                reconsider(self._book, tracked, counter, turn)

    def _prune(self, now: int) -> None:
        self._pruned = now // HOUR
        self._hits.clear()
        self._counting.prune(now)
        self._book.prune(now - HORIZON)
        self._spend.prune(now, self._counting.tracked.values())


def _sums(place: Ints, cost: Ints, count: int) -> list[int]:
    sums = np.zeros(count, np.int64)
    np.add.at(sums, place, cost)
    return sums.tolist()
