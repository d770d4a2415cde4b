"""Where spend is heading: the linear forecast of a window and multi-window burn rates. Pure integer arithmetic."""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from spendstream.domain.budgets.model import Budget, BurnSignal
from spendstream.domain.budgets.windows import DAY, HOUR

# Before a twentieth of the window has passed a straight line through its start says nothing.
MINIMUM_ELAPSED: Final = Fraction(1, 20)
FORECAST_FROM: Final = 23 * HOUR  # a day may lose an hour to daylight saving
BURN_RATE_FROM: Final = 7 * DAY - HOUR


def forecast(spent: int, start: int, end: int, now: int) -> int | None:
    """Spend at the window's end (pico-dollars) if it goes on as it did so far: spent x length / elapsed.

    None too early in the window to say; the spend itself once the window is over.
    """
    length, elapsed = end - start, min(now, end) - start
    if elapsed < MINIMUM_ELAPSED * length:
        return None
    return spent * length // elapsed


def forecast_fires(budget: Budget, spent: int, start: int, end: int, now: int) -> bool:
    """Whether the projected spend reaches `forecast_alert_at` x amount; only for windows of a day or longer."""
    if budget.forecast_alert_at is None or end - start < FORECAST_FROM:
        return False
    projected = forecast(spent, start, end, now)
    return projected is not None and projected >= budget.forecast_alert_at * budget.amount_pico_usd


def burn_rate(spent: int, span: int, amount: int, window_length: int) -> Fraction:
    """How many times faster than evenly the amount is being used up, over the last `span` microseconds.

    Google SRE workbook, "Alerting on SLOs", with the budget's amount as the error budget.
    """
    return Fraction(spent * window_length, amount * span)


def burn_fires(signal: BurnSignal, long_rate: Fraction, short_rate: Fraction) -> bool:
    """Both windows burn at the signal's rate: the long one says it matters, the short one that it still goes on."""
    return long_rate >= Fraction(signal.rate) and short_rate >= Fraction(signal.rate)


def share(part: int, whole: int) -> float:
    """`part / whole` for display, rounded to a ten-thousandth."""
    return float(round(Decimal(part) / Decimal(whole), 4))
