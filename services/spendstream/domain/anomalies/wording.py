"""Numbers as people read them in an alert: money, rates, counts, times. For text only, never for arithmetic."""

from datetime import UTC, datetime

PICO_PER_CENT = 10**10


def usd(pico_usd: int) -> str:
    """`$1,234.50`; below ten cents four more digits, so that a small amount does not read as nothing."""
    sign = "-" if pico_usd < 0 else ""
    pico = abs(pico_usd)
    if 0 < pico < 10 * PICO_PER_CENT:
        return f"{sign}$0.{(pico + 5 * 10**5) // 10**6:06d}"
    cents = (pico + PICO_PER_CENT // 2) // PICO_PER_CENT
    return f"{sign}${cents // 100:,}.{cents % 100:02d}"


def count(number: float) -> str:
    """`15 000`, `12.5`, `0.31`: thousands apart, at most three significant digits below a hundred."""
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}".replace(",", " ")
    return f"{number:.3g}"


def clock(minute: int, reference: int) -> str:
    """`14:03`, with the date in front when `reference` (both minutes since the epoch, UTC) is another day."""
    at = datetime.fromtimestamp(minute * 60, UTC)
    same_day = minute // 1440 == reference // 1440
    return at.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M")
