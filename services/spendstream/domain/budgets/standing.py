"""Which budget stands behind which open alert: after a restart, and when documents change."""

from collections.abc import Iterable, Mapping

from spendstream.domain.alerts import AlertBook
from spendstream.domain.budgets.counters import Key, Tracked
from spendstream.domain.budgets.ladder import Turn


def adopt(book: AlertBook, budgets: Mapping[Key, Tracked]) -> None:
    """Tell budgets of their open alerts that began at a time of their own: rolling windows and burn-rate incidents."""
    for alert_id, record in book.open_alerts():
        start, name = record["window_start"], record["name"]
        rolling = budgets.get((record["org"], name))
        if rolling and rolling.is_rolling and alert_id == rolling.alert_id(start):
            rolling.anchor = start
        burning = budgets.get((record["org"], name.removesuffix("/burn-rate")))
        if burning and alert_id == burning.alert_id(start, "/burn-rate"):
            burning.burning_since = start


def withdraw(book: AlertBook, budgets: Iterable[Tracked], turn: Turn) -> None:
    """Resolve open alerts that no document stands behind any more."""
    backed = {alert_id for tracked in budgets for alert_id in _backed(tracked, turn.now)}
    for alert_id, _ in book.open_alerts():
        if alert_id not in backed:
            text = "The budget was withdrawn or changed."
            turn.publish(book.resolve(alert_id, turn.now, turn.now, description=text))


def _backed(tracked: Tracked, now: int) -> Iterable[str]:
    """Fingerprints of the alerts this budget may have open."""
    if tracked.is_ceiling:
        return
    starts = {tracked.calendar.at(now)[0], *(counter.start for counter in tracked.counters.values())}
    if tracked.anchor is not None:
        starts.add(tracked.anchor)
    for start in starts:
        yield tracked.alert_id(start)
        if tracked.budget.forecast_alert_at is not None:
            yield tracked.alert_id(start, "/forecast")
    if tracked.burning_since is not None and tracked.budget.burn_rate:
        yield tracked.alert_id(tracked.burning_since, "/burn-rate")
