"""Which price is in force when: the revisions of one model as consecutive segments of time."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from spendstream.domain.prices.currency import FxRates
from spendstream.domain.prices.model import ALWAYS, PriceRevision, Rates

# Why a row has no price; `Rated.unpriced_reason` indexes it.
#   model: nobody prices this model · tier: the price in force does not list the service tier · date: no price in
#   force then · class: no price for the kind of tokens used · region: only other regions have a price ·
#   currency: the price is in a currency without a rate then.
UNPRICED_REASONS: Final = ("", "model", "tier", "date", "class", "region", "currency")
NO_MODEL, NO_TIER, NO_DATE, NO_CLASS, NO_REGION, NO_RATE = range(1, 7)
DOLLARS_ONLY: Final = FxRates()


@dataclass(frozen=True, slots=True)
class Segment:
    """From `start` (microseconds) to the next segment's start: these rates, or `reason` why none (then rates None)."""

    start: int
    rates: Rates | None
    factor: Fraction = Fraction(1)  # service-tier multiplier × (1 − discount) × (1 + margin) × exchange rate
    price_id: str = ""
    reason: int = 0


def current(revisions: Iterable[PriceRevision]) -> list[PriceRevision]:
    """The last revision of each identity (name + effective_from)."""
    last: dict[tuple[str, int], PriceRevision] = {}
    for revision in sorted(revisions, key=_age):
        last[revision.name, revision.price.effective_from] = revision
    return list(last.values())


def in_order(revisions: Iterable[PriceRevision]) -> list[PriceRevision]:
    """One model's prices by their start; of two documents that start together the one known later stands."""
    by_start = {revision.price.effective_from: revision for revision in sorted(revisions, key=_age)}
    return [by_start[start] for start in sorted(by_start)]


def _age(revision: PriceRevision) -> tuple[int, int, str]:
    return revision.known_at, revision.revision, revision.name


def segments(
    general: Sequence[PriceRevision], regional: Sequence[PriceRevision], tier: str, rates: FxRates = DOLLARS_ONLY
) -> list[Segment]:
    """Consecutive segments that cover all time for one service tier; arguments as `in_order` returns them.

    A price of the region wins over one without a region wherever both are in force. A price in another currency
    changes whenever its exchange rate does.
    """
    starts = {ALWAYS}
    for revision in (*general, *regional):
        starts.add(revision.price.effective_from)
        if revision.price.effective_to is not None:
            starts.add(revision.price.effective_to)
        starts.update(rates.starts(revision.price.currency))
    nothing = NO_DATE if general or regional else NO_REGION
    return [
        _segment(start, _in_force(regional, start) or _in_force(general, start), tier, nothing, rates)
        for start in sorted(starts)
    ]


def _in_force(revisions: Sequence[PriceRevision], moment: int) -> PriceRevision | None:
    """The next price's start ends the one before it, whatever that one's own end."""
    i = bisect_right(revisions, moment, key=lambda r: r.price.effective_from) - 1
    if i < 0:
        return None
    end = revisions[i].price.effective_to
    return revisions[i] if end is None or moment < end else None


def _segment(start: int, revision: PriceRevision | None, tier_name: str, nothing: int, fx: FxRates) -> Segment:
    if revision is None:
        return Segment(start, None, reason=nothing)
    tier = revision.price.tier(tier_name)
    if tier is None:
        return Segment(start, None, reason=NO_TIER)
    rates = tier.rates or revision.price.rates
    if not rates.prices_something:
        return Segment(start, None, reason=NO_CLASS)
    currency = revision.price.currency
    exchange, rate = fx.factor(currency, start), fx.at(currency, start)
    if exchange is None:
        return Segment(start, None, reason=NO_RATE)
    price_id = revision.price_id if rate is None else f"{revision.price_id} {rate.label}"
    return Segment(start, rates, tier.multiplier * revision.price.after_list * exchange, price_id)
