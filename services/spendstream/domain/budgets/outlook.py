"""Alerts about where spend is heading: forecasts of the window's end and burn-rate incidents, looked at each minute."""

from fractions import Fraction

from spendstream.domain.alerts import AlertBook
from spendstream.domain.budgets.counters import Tracked
from spendstream.domain.budgets.ladder import Turn
from spendstream.domain.budgets.model import BurnSignal
from spendstream.domain.budgets.records import burn_alert, forecast_alert
from spendstream.domain.budgets.signals import BURN_RATE_FROM, burn_fires, burn_rate, forecast, forecast_fires
from spendstream.domain.budgets.spend import Spend
from spendstream.domain.budgets.windows import MINUTE
from spendstream.domain.wording import usd


def watch_forecast(book: AlertBook, tracked: Tracked, turn: Turn) -> None:
    """Fire once per window when the projection reaches its share; resolve when it falls below again."""
    counter = tracked.current(turn.now)
    if counter is None or tracked.is_rolling or tracked.budget.forecast_alert_at is None:
        return
    alert_id = tracked.alert_id(counter.start, "/forecast")
    projected = forecast(counter.spent, counter.start, counter.end, turn.now)
    fires = forecast_fires(tracked.budget, counter.spent, counter.start, counter.end, turn.now)
    if book.is_open(alert_id) and not fires:
        text = f"The pace has slowed: now heading for {usd(projected or 0)}."
        turn.publish(book.resolve(alert_id, turn.now, turn.now, description=text))
    # A spent budget needs no forecast, and a level fires once per window.
    elif fires and projected and alert_id not in book.entries and counter.spent < tracked.budget.amount_pico_usd:
        drivers = turn.drivers(tracked, counter.start, counter.end)
        turn.publish(book.fire(forecast_alert(tracked, counter, projected, turn.now, drivers), turn.now))


def watch_burn_rate(book: AlertBook, spend: Spend, tracked: Tracked, turn: Turn) -> None:
    """Open an incident when a signal fires, escalate it in place, resolve it once every long window has calmed down."""
    start, end = tracked.calendar.at(turn.now)
    if not tracked.budget.burn_rate or end - start < BURN_RATE_FROM:
        return

    def rate(span: int) -> Fraction:
        spent = spend.recent(tracked, span, turn.now)
        return burn_rate(spent, span, tracked.budget.amount_pico_usd, end - start)

    rates = [(signal, rate(signal.long), rate(signal.short)) for signal in tracked.budget.burn_rate]
    firing = next(((signal, long) for signal, long, short in rates if burn_fires(signal, long, short)), None)
    if firing is not None:
        _burns(book, spend, tracked, firing[0], firing[1], turn)
    elif tracked.burning_since is not None and all(long < signal.rate for signal, long, _ in rates):
        alert_id = tracked.alert_id(tracked.burning_since, "/burn-rate")
        text = "Spend is back to a pace the budget allows."
        turn.publish(book.resolve(alert_id, turn.now, turn.now, description=text))
        tracked.burning_since = None


def _burns(book: AlertBook, spend: Spend, tracked: Tracked, signal: BurnSignal, rate: Fraction, turn: Turn) -> None:
    if tracked.burning_since is None:
        tracked.burning_since = turn.now // MINUTE * MINUTE
    spent = spend.recent(tracked, signal.long, turn.now)
    allowed = int(spent / rate)  # at an even pace; a Fraction, so exact
    alert = burn_alert(tracked, tracked.burning_since, turn.now, signal, spent, allowed, float(rate))
    turn.publish(book.fire(alert, turn.now))
