"""Numbers as people read them: money, rates, counts, times. For text only, never for arithmetic."""

from datetime import UTC, datetime

PICO_PER_CENT = 10**10


def usd(pico_usd: int) -> str:
    """`$1,234.50`, half-even; below a dollar up to six decimals, so that small money does not read as nothing."""
    sign, pico = "-" if pico_usd < 0 else "", abs(pico_usd)
    if 0 < pico < 100 * PICO_PER_CENT:
        digits = f"{_half_even(pico, 10**6):07d}"
        cents, rest = digits[1:3], digits[3:].rstrip("0")
        return f"{sign}${digits[0]}.{cents}{rest}"
    cents_total = _half_even(pico, PICO_PER_CENT)
    return f"{sign}${cents_total // 100:,}.{cents_total % 100:02d}"


def _half_even(amount: int, unit: int) -> int:
    """Whole units in a positive amount."""
    whole, rest = divmod(amount, unit)
    return whole + (2 * rest > unit or (2 * rest == unit and whole % 2))


def count(number: float) -> str:
    """`15 000`, `12.5`, `0.31`: thousands apart, at most three significant digits below a hundred."""
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}".replace(",", " ")
    return f"{number:.3g}"


def clock(minute: int) -> str:
    """`2026-03-05 14:03`, UTC. Always with the date: an alert is read when it is read, not when it happened."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%d %H:%M")
