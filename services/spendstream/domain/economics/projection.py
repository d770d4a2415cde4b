"""Cost as use grows: a fixed part, a linear part, and a part with economies of scale (domain.md §8).

    cost(s) = fixed + linear × s + sublinear × s^0.7        s = today's volume as 1

The exponent 0.7 is the six-tenths rule of cost engineering (Williams 1947) at the value domain.md gives.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from spendstream.domain.economics.exact import Amount, Document, Exact, Positive, either, power, ratio, usd

MOST_MONTHS = 120


class Growth(Document):
    """So many months at a growth of `per_month` (0.1: ten percent)."""

    per_month: Annotated[Exact, Field(gt=-1)]
    months: Annotated[int, Field(gt=0, le=MOST_MONTHS)]


class Scaling(Document):
    """Input of `project`: today's monthly cost in three parts; scales to look at, or growth."""

    fixed_usd: Amount = Decimal(0)
    linear_usd: Amount = Decimal(0)
    sublinear_usd: Amount = Decimal(0)
    exponent: Annotated[Exact, Field(gt=0, le=1)] = Decimal("0.7")
    units: Positive | None = None
    scales: tuple[Positive, ...] = ()
    growth: Growth | None = None

    def model_post_init(self, _: object) -> None:
        either(self.scales or None, (self.growth,), "scales or growth")


@dataclass(frozen=True, slots=True)
class Projected:
    """Monthly cost at a scale; `month` 0 is today, None where scales were asked for. `times_today`: of its cost."""

    month: int | None
    scale: Decimal
    fixed_usd: Decimal
    linear_usd: Decimal
    sublinear_usd: Decimal
    cost_usd: Decimal
    times_today: Decimal
    per_unit_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Projection:
    """`total_usd`: of all months (None where scales were asked for)."""

    today_usd: Decimal
    total_usd: Decimal | None
    points: tuple[Projected, ...]


def project(scaling: Scaling) -> Projection:
    """Monthly cost at every scale, or month by month."""
    today = Fraction(scaling.fixed_usd) + Fraction(scaling.linear_usd) + Fraction(scaling.sublinear_usd)
    if scaling.growth is None:
        costs = [_at(scaling, None, Fraction(scale), today) for scale in scaling.scales]
        return Projection(usd(today), None, tuple(point for _, point in costs))
    factor = 1 + Fraction(scaling.growth.per_month)
    costs = [_at(scaling, month, factor**month, today) for month in range(scaling.growth.months + 1)]
    return Projection(
        usd(today), usd(sum((cost for cost, _ in costs[1:]), Fraction(0))), tuple(point for _, point in costs)
    )


def _at(scaling: Scaling, month: int | None, scale: Fraction, today: Fraction) -> tuple[Fraction, Projected]:
    linear = Fraction(scaling.linear_usd) * scale
    sublinear = Fraction(scaling.sublinear_usd) * power(scale, scaling.exponent)
    cost = Fraction(scaling.fixed_usd) + linear + sublinear
    return cost, Projected(
        month=month,
        scale=ratio(scale),
        fixed_usd=usd(Fraction(scaling.fixed_usd)),
        linear_usd=usd(linear),
        sublinear_usd=usd(sublinear),
        cost_usd=usd(cost),
        times_today=ratio(cost / today if today else Fraction(1)),
        per_unit_usd=usd(cost / (Fraction(scaling.units) * scale)) if scaling.units else None,
    )
