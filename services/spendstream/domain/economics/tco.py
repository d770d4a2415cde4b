"""Total cost of ownership: direct + people + hidden, a month and a year, per unit (domain.md §8).

people = FTE × salary a year / 12        hidden = Σ amounts + Σ shares × direct
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from spendstream.domain.economics.exact import (
    MONTHS_A_YEAR,
    Amount,
    Cost,
    Document,
    Positive,
    Share,
    Text,
    either,
    ratio,
    usd,
)


class Staff(Document):
    """People: `fte` of them at `usd_per_year`, or a monthly amount."""

    name: Text
    usd: Amount | None = None
    fte: Amount | None = None
    usd_per_year: Amount | None = None

    def model_post_init(self, _: object) -> None:
        either(self.usd, (self.fte, self.usd_per_year), "usd, or fte and usd_per_year")

    @property
    def monthly(self) -> Fraction:
        """USD a month."""
        if self.usd is not None:
            return Fraction(self.usd)
        assert self.fte is not None and self.usd_per_year is not None
        return Fraction(self.fte) * Fraction(self.usd_per_year) / MONTHS_A_YEAR


class Hidden(Document):
    """What no invoice shows: an amount a month, or a share of the direct cost."""

    name: Text
    usd: Amount | None = None
    share_of_direct: Share | None = None

    def model_post_init(self, _: object) -> None:
        either(self.usd, (self.share_of_direct,), "usd or share_of_direct")

    def monthly(self, direct: Fraction) -> Fraction:
        """USD a month."""
        return Fraction(self.usd) if self.usd is not None else Fraction(self.share_of_direct or 0) * direct


class Unit(Document):
    """What the cost is spread over: so many a month."""

    name: Text
    per_month: Positive


class Ownership(Document):
    """Input of `tco`."""

    direct: tuple[Cost, ...] = ()
    people: tuple[Staff, ...] = ()
    hidden: tuple[Hidden, ...] = ()
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One item. `share` of the total."""

    kind: str
    name: str
    monthly_usd: Decimal
    share: Decimal


@dataclass(frozen=True, slots=True)
class Tco:
    """Cost of owning something. Shares are of the monthly total; `per_unit_usd` is None without a unit."""

    direct_usd: Decimal
    people_usd: Decimal
    hidden_usd: Decimal
    monthly_usd: Decimal
    annual_usd: Decimal
    direct_share: Decimal
    people_share: Decimal
    hidden_share: Decimal
    unit: str
    per_unit_usd: Decimal | None
    items: tuple[Line, ...]


def tco(owned: Ownership) -> Tco:
    """Monthly and annual cost, by kind and by item."""
    direct = sum((cost.monthly for cost in owned.direct), Fraction(0))
    parts = [
        *(("direct", cost.name, cost.monthly) for cost in owned.direct),
        *(("people", staff.name, staff.monthly) for staff in owned.people),
        *(("hidden", hidden.name, hidden.monthly(direct)) for hidden in owned.hidden),
    ]
    total = sum((amount for _, _, amount in parts), Fraction(0))
    of_kind = {kind: sum((a for k, _, a in parts if k == kind), Fraction(0)) for kind in ("direct", "people", "hidden")}

    def share(amount: Fraction) -> Decimal:
        return ratio(amount / total if total else Fraction(0))

    return Tco(
        direct_usd=usd(of_kind["direct"]),
        people_usd=usd(of_kind["people"]),
        hidden_usd=usd(of_kind["hidden"]),
        monthly_usd=usd(total),
        annual_usd=usd(total * MONTHS_A_YEAR),
        direct_share=share(of_kind["direct"]),
        people_share=share(of_kind["people"]),
        hidden_share=share(of_kind["hidden"]),
        unit=owned.unit.name if owned.unit else "",
        per_unit_usd=usd(total / Fraction(owned.unit.per_month)) if owned.unit else None,
        items=tuple(Line(kind, name, usd(amount), share(amount)) for kind, name, amount in parts),
    )
