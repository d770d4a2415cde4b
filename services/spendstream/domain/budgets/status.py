"""Rows of table `budget_status`: where each budget stands."""

from typing import Any

from spendstream.domain.alerts import AlertBook
from spendstream.domain.budgets.counters import Counter, Tracked
from spendstream.domain.budgets.signals import forecast, share
from spendstream.domain.money import usd_from_pico

OK = "ok"


def status_row(
    book: AlertBook, tracked: Tracked, window: tuple[int, int], counter: Counter | None, now: int
) -> dict[str, Any]:
    """One budget and window: USD as Decimal, times in microseconds; `state` is `ok` or its alert's state.

    `forecast_usd` is None too early in a window and for rolling windows, which have no end to project.
    """
    start, end = window
    spent, amount = counter.spent if counter else 0, tracked.budget.amount_pico_usd
    projected = None if tracked.is_rolling else forecast(spent, start, end, now)
    entry = book.entries.get(tracked.alert_id(tracked.identity_start(counter))) if counter else None
    return {
        "org": tracked.org,
        "budget": tracked.budget.name,
        "scope": dict(tracked.scope),
        "window_start": start,
        "window_end": end,
        "amount_usd": usd_from_pico(amount),
        "spent_usd": usd_from_pico(spent),
        "share": share(spent, amount),
        "forecast_usd": None if projected is None else usd_from_pico(projected),
        "state": entry.state if entry else OK,
        "severity": entry.severity if entry else "",
        "updated_at": now,
    }
