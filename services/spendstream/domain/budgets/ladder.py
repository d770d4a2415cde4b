"""From counters to alerts: levels fire once, recovery and the window's end resolve, late spend never enforces."""

from collections.abc import Callable
from dataclasses import dataclass, field

from spendstream.domain.alerts import AlertBook, Record
from spendstream.domain.budgets.counters import Counter, Tracked
from spendstream.domain.budgets.enforcement import ScopeId
from spendstream.domain.budgets.records import level_alert
from spendstream.domain.money import on_wire
from spendstream.domain.wording import usd


@dataclass(slots=True)
class Turn:
    """One call of the engine: what it has published so far, scopes to look at again, closed windows that changed."""

    now: int
    drivers: Callable[[Tracked, int, int], str]
    alerts: list[Record] = field(default_factory=list)
    dirty: set[ScopeId] = field(default_factory=set)
    final: dict[tuple[str, str, int], tuple[Tracked, Counter]] = field(default_factory=dict)

    def publish(self, record: Record | None) -> None:
        if record is not None:
            self.alerts.append(record)

    def touch(self, tracked: Tracked) -> None:
        self.dirty.add((tracked.org, tracked.scope))

    def finish(self, tracked: Tracked, counter: Counter) -> None:
        """Note that a closed window has a new last word."""
        self.final[*tracked.key, counter.start] = (tracked, counter)


def evaluate(book: AlertBook, tracked: Tracked, counter: Counter, turn: Turn) -> None:
    """Publish what the counter's spend means: levels crossed upwards, in order, or recovery."""
    if counter.closed:
        turn.finish(tracked, counter)
    reached, before = tracked.levels_reached(counter.spent), counter.reached
    if reached == before:
        return
    counter.reached = reached
    if not counter.closed:
        turn.touch(tracked)
    if reached < before:
        recover(book, tracked, counter, turn)
        return
    _fire(book, tracked, counter, before, turn)


def reconsider(book: AlertBook, tracked: Tracked, counter: Counter, turn: Turn) -> None:
    """Judge a counter under a new or changed document.

    Levels published for another amount stay published while the spend is at or above them under the new amount, and
    are armed again where it is not: 80 % of a raised amount is news, 80 % of a lowered one is not.
    """
    entry = book.entries.get(tracked.alert_id(tracked.identity_start(counter)))
    amount = tracked.budget.amount_pico_usd
    if entry is not None:
        held = {float(rung.at) for rung in tracked.budget.ladder[: tracked.levels_reached(counter.spent)]}
        entry.levels = {
            at: amount if at in held else limit for at, limit in entry.levels.items() if limit == amount or at in held
        }
    counter.reached = 0
    evaluate(book, tracked, counter, turn)
    recover(book, tracked, counter, turn)


def recover(book: AlertBook, tracked: Tracked, counter: Counter, turn: Turn) -> None:
    """Resolve the counter's alert when its spend is below the lowest level that fired."""
    alert_id = tracked.alert_id(tracked.identity_start(counter))
    if not book.is_open(alert_id):
        return
    fired = book.entries[alert_id].levels
    rungs = zip(tracked.budget.ladder, tracked.thresholds, strict=True)
    lowest = min((threshold for rung, threshold in rungs if float(rung.at) in fired), default=None)
    if lowest is None or counter.spent < lowest:
        text = f"Back below every level that fired: {usd(counter.spent)} spent."
        _resolve(book, alert_id, counter, counter.event_at, text, turn)


def conclude(book: AlertBook, tracked: Tracked, counter: Counter, turn: Turn) -> None:
    """Resolve the alert of a window that has just ended."""
    amount = tracked.budget.amount_pico_usd
    text = f"The window ended with {usd(counter.spent)} of {usd(amount)} spent."
    _resolve(book, tracked.alert_id(counter.start), counter, counter.end, text, turn)


def resolve_ended(book: AlertBook, turn: Turn) -> None:
    """Resolve every other budget alert whose window is over: forecasts, and what was recalled without its counter."""
    for alert_id, record in book.open_alerts():
        end = record["window_end"]
        if record["kind"] == "budget" and end is not None and end <= turn.now:
            turn.publish(book.resolve(alert_id, end, turn.now, description="The window ended."))


def _fire(book: AlertBook, tracked: Tracked, counter: Counter, before: int, turn: Turn) -> None:
    alert_id = tracked.alert_id(tracked.identity_start(counter))
    known = book.entries[alert_id].levels if alert_id in book.entries else {}
    new = [rung for rung in tracked.budget.ladder[before : counter.reached] if float(rung.at) not in known]
    if not new:
        return
    drivers = turn.drivers(tracked, counter.start, counter.end)
    for rung in new:
        turn.publish(book.fire(level_alert(tracked, counter, rung, counter.closed, turn.now, drivers), turn.now))
    if counter.closed:
        text = f"The window was over when this spend became known. {drivers}"
        _resolve(book, alert_id, counter, counter.end, text, turn)


def _resolve(book: AlertBook, alert_id: str, counter: Counter, at: int, text: str, turn: Turn) -> None:
    spent = on_wire(counter.spent)
    turn.publish(
        book.resolve(alert_id, at, turn.now, description=text, observed_pico_usd=spent, per_hour_pico_usd=None)
    )
