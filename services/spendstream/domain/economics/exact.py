"""What every model of the toolkit is made of: exact inputs, fractions in between, one rounding at the end."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from spendstream.domain.money import PICO_PER_USD, decimal_from, usd_from_pico

MILLION: Final = 1_000_000
MONTHS_A_YEAR: Final = 12
HOURS_A_MONTH: Final = Decimal(720)  # 30 days, as in every worked example of domain.md
SECONDS_AN_HOUR: Final = 3_600

_WIDE: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)

Exact = Annotated[Decimal, BeforeValidator(decimal_from)]
Amount = Annotated[Exact, Field(ge=0)]
Positive = Annotated[Exact, Field(gt=0)]
Share = Annotated[Exact, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


class Document(BaseModel):
    """Input of a model: nothing unknown, nothing inexact, no change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cost(Document):
    """A monthly cost: `usd`, or `quantity` × `usd_each` (× `hours`, for what is paid by the hour)."""

    name: Text
    usd: Amount | None = None
    quantity: Amount | None = None
    usd_each: Amount | None = None
    hours: Positive = Decimal(1)

    def model_post_init(self, _: object) -> None:
        either(self.usd, (self.quantity, self.usd_each), "usd, or quantity and usd_each")

    @property
    def monthly(self) -> Fraction:
        """USD a month."""
        if self.usd is not None:
            return Fraction(self.usd)
        assert self.quantity is not None and self.usd_each is not None
        return Fraction(self.quantity) * Fraction(self.usd_each) * Fraction(self.hours)


def either(one: object, others: Sequence[object], names: str) -> None:
    """`ValueError` unless `one` alone or all `others` alone are given."""
    given = [other for other in others if other is not None]
    if (one is not None and given) or (one is None and len(given) < len(others)):
        raise ValueError(f"give either {names}")


def usd(amount: Fraction) -> Decimal:
    """Dollars with twelve decimals, rounded half-even: once, here."""
    return usd_from_pico(round(amount * PICO_PER_USD))


def ratio(value: Fraction) -> Decimal:
    """A share or a factor with twelve decimals, rounded half-even."""
    return usd_from_pico(round(value * 10**12))


def ceiling(value: Fraction) -> int:
    """The smallest whole number that is not below `value`."""
    return -(-value.numerator // value.denominator)


def power(base: Fraction, exponent: Decimal) -> Fraction:
    """`base` to a fractional power, to sixty digits: the only step of the toolkit that is not exact by itself."""
    return Fraction(_WIDE.power(_WIDE.divide(Decimal(base.numerator), Decimal(base.denominator)), exponent))
