"""Unit economics (domain.md §8): cost per request, user, conversation and revenue dollar, margin, projection, bands.

    cost ratio = cost ÷ revenue          gross margin = 1 − cost ratio
    cost in k months = cost × ((1 + growth) × (1 − efficiency))^k      revenue in k months = revenue × (1 + growth)^k

Amounts are Decimal USD, computed as fractions and rounded once, half-even, to twelve decimals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from spendstream.domain.money import PICO_PER_USD, decimal_from, usd_from_pico

Band = Literal["good", "acceptable", "concerning"]
GOOD_BELOW = Fraction(20, 100)
CONCERNING_ABOVE = Fraction(50, 100)
MOST_MONTHS = 120


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """USD per unit; None where there is no unit to divide by."""

    cost_usd: Decimal
    per_request_usd: Decimal | None
    per_user_usd: Decimal | None
    per_conversation_usd: Decimal | None
    cost_ratio: Decimal | None
    gross_margin: Decimal | None
    band: Band | None


@dataclass(frozen=True, slots=True)
class Projected:
    """One month of a projection; month 0 is the present."""

    month: int
    cost_usd: Decimal
    revenue_usd: Decimal | None
    cost_ratio: Decimal | None
    gross_margin: Decimal | None
    band: Band | None


def unit_costs(
    cost_usd: Decimal,
    requests: int | None = None,
    users: int | None = None,
    conversations: int | None = None,
    revenue_usd: Decimal | None = None,
) -> UnitCosts:
    """What one unit costs. ValueError for a negative count or revenue."""
    cost = Fraction(decimal_from(cost_usd))
    ratio = _ratio(cost, None if revenue_usd is None else Fraction(decimal_from(revenue_usd)))
    return UnitCosts(
        cost_usd, _per(cost, requests), _per(cost, users), _per(cost, conversations), *_judged(ratio)
    )  # fmt: skip


def project(
    cost_usd: Decimal,
    growth: Decimal,
    efficiency: Decimal,
    months: int,
    revenue_usd: Decimal | None = None,
) -> Sequence[Projected]:
    """Months 0 to `months`: usage and revenue grow by `growth` a month, a unit gets cheaper by `efficiency` a month.

    Both are shares: 0.1 is ten percent. ValueError outside growth > −1, 0 ≤ efficiency ≤ 1, 0 ≤ months ≤ 120.
    """
    if growth <= -1:
        raise ValueError("growth must be more than -1 (nothing shrinks by more than all of it)")
    if not 0 <= efficiency <= 1:
        raise ValueError("efficiency must be between 0 and 1")
    if not 0 <= months <= MOST_MONTHS:
        raise ValueError(f"months must be between 0 and {MOST_MONTHS}")
    more, cheaper = 1 + Fraction(decimal_from(growth)), 1 - Fraction(decimal_from(efficiency))
    cost = Fraction(decimal_from(cost_usd))
    revenue = None if revenue_usd is None else Fraction(decimal_from(revenue_usd))
    found = []
    for month in range(months + 1):
        then = cost * (more * cheaper) ** month
        earned = None if revenue is None else revenue * more**month
        found.append(
            Projected(month, _usd(then), None if earned is None else _usd(earned), *_judged(_ratio(then, earned)))
        )
    return found


def band(cost_ratio: Fraction) -> Band:
    """Below 20 % of revenue is good, 20 to 50 % acceptable, above 50 % concerning."""
    if cost_ratio < GOOD_BELOW:
        return "good"
    return "acceptable" if cost_ratio <= CONCERNING_ABOVE else "concerning"


def _ratio(cost: Fraction, revenue: Fraction | None) -> Fraction | None:
    if revenue is not None and revenue < 0:
        raise ValueError("revenue is negative")
    return cost / revenue if revenue else None


def _judged(ratio: Fraction | None) -> tuple[Decimal | None, Decimal | None, Band | None]:
    return (None, None, None) if ratio is None else (_usd(ratio), _usd(1 - ratio), band(ratio))


def _per(cost: Fraction, units: int | None) -> Decimal | None:
    if units is not None and units < 0:
        raise ValueError("a count is negative")
    return _usd(cost / units) if units else None


def _usd(exact: Fraction) -> Decimal:
    return usd_from_pico(round(exact * PICO_PER_USD))  # Fraction rounds half to even
