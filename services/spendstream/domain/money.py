"""Money: integer pico-dollars (10^-12 USD) inside, `Decimal` USD outside, never a float (domain.md §1)."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import TypeVar

PICO_PER_USD = 10**12
MAX_PICO_USD = 2**63 - 1  # what a record on the wire can hold: some 9.2 million dollars

# Wide enough for any amount met here; the default context would round silently at 28 digits.
_EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN)


# What `split` breaks ties with.
Key = TypeVar("Key", str, int, tuple[str, ...])


def decimal_from(number: Decimal | str | int) -> Decimal:
    """The finite decimal `number` spells. A float, a bool, NaN, infinity or prose raises ValueError."""
    if isinstance(number, bool) or not isinstance(number, Decimal | str | int):
        raise ValueError(f"{number!r} is not an exact number: give a decimal, a string or an integer")
    try:
        value = Decimal(number)
    except InvalidOperation:
        raise ValueError(f"{number!r} is not a number") from None
    if not value.is_finite():
        raise ValueError(f"{number!r} is not a finite number")
    if value and abs(value.adjusted()) > 100:
        raise ValueError(f"{number!r} is out of range")
    return value


def pico_from_usd(usd: Decimal | str | int) -> int:
    """`usd` dollars as pico-dollars, exactly. ValueError when a pico-dollar is too coarse for it."""
    pico, exact = quantise_usd(usd)
    if not exact:
        raise ValueError(f"{usd} USD does not fit whole pico-dollars")
    return pico


def quantise_usd(usd: Decimal | str | int, per: int = 1) -> tuple[int, bool]:
    """Pico-dollars of one of `per` units that cost `usd` together, half-even, and whether that is exact.

    `quantise_usd("0.22", 1_000_000)` is `(220_000, True)`: $0.22 per million tokens, a token.
    """
    exact = Fraction(decimal_from(usd)) * PICO_PER_USD / per
    pico = round(exact)  # Fraction rounds half to even
    return pico, pico == exact


def usd_from_pico(pico_usd: int) -> Decimal:
    """`pico_usd` pico-dollars as USD with exactly twelve decimals."""
    return _EXACT.scaleb(Decimal(pico_usd), -12)


def on_wire(pico_usd: int) -> int:
    """As int64: sums beyond MAX_PICO_USD are told as that much."""
    return max(-MAX_PICO_USD, min(MAX_PICO_USD, pico_usd))


def split(amount: int, weights: Sequence[int], keys: Sequence[Key]) -> list[int]:
    """Parts of `amount` in proportion to `weights`; they add up to `amount` to the last unit.

    Largest remainder; equal remainders go by ascending key. A negative amount splits as its positive twin does,
    with the sign turned. Raises ValueError for a negative weight, unequal lengths, or weights that are all zero: then
    nobody can be charged, and the caller books the amount on `unallocated`.
    """
    if len(weights) != len(keys):
        raise ValueError("weights and keys differ in length")
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    total = sum(weights)
    if total == 0:
        raise ValueError("all weights are zero")
    sign = -1 if amount < 0 else 1
    divided = [divmod(abs(amount) * weight, total) for weight in weights]
    parts = [whole for whole, _ in divided]
    missing = abs(amount) - sum(parts)
    by_remainder = sorted(range(len(keys)), key=lambda i: (-divided[i][1], keys[i]))
    for i in by_remainder[:missing]:
        parts[i] += 1
    return [sign * part for part in parts]
