"""Return on caching, on batching, and on what was done: before, after, cost, payback (domain.md §8).

caching    net = requests × (hit rate × cost a request − cost a lookup) − infrastructure
           break-even hit rate = (infrastructure / requests + cost a lookup) / cost a request
batching   net = spend × eligible share × discount − overhead
tracking   saving = (before / units before − after / units after) × units after
           payback = implementation / saving        ROI = (saving × months − implementation) / implementation
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from spendstream.domain.economics.exact import Amount, Document, Exact, Positive, Share, ratio, usd

Months = Annotated[int, Field(gt=0, le=600)]


@dataclass(frozen=True, slots=True)
class Return:
    """A monthly saving and what it takes. `payback_months` is None when it is never paid back, `roi` when nothing was
    invested."""

    gross_saving_usd: Decimal
    running_usd: Decimal
    net_saving_usd: Decimal
    implementation_usd: Decimal
    payback_months: Decimal | None
    months: int
    net_over_all_months_usd: Decimal
    roi: Decimal | None
    worth_it: bool


def _return(gross: Fraction, running: Fraction, implementation: Decimal, months: int) -> Return:
    net, invested = gross - running, Fraction(implementation)
    over_all = net * months - invested
    return Return(
        gross_saving_usd=usd(gross),
        running_usd=usd(running),
        net_saving_usd=usd(net),
        implementation_usd=usd(invested),
        payback_months=ratio(invested / net) if net > 0 else None,
        months=months,
        net_over_all_months_usd=usd(over_all),
        roi=ratio(over_all / invested) if invested else None,
        worth_it=over_all > 0,
    )


class Caching(Document):
    """Input of `caching`: a response cache in front of a model."""

    requests_per_month: Positive
    usd_per_request: Positive
    hit_rate: Share
    usd_per_lookup: Amount = Decimal(0)
    infrastructure_usd_per_month: Amount = Decimal(0)
    implementation_usd: Amount = Decimal(0)
    months: Months = 12


@dataclass(frozen=True, slots=True)
class CachingReturn:
    """`breakeven_hit_rate` may be above 1: then no hit rate pays."""

    breakeven_hit_rate: Decimal
    hits_per_month: Decimal
    result: Return


def caching(cache: Caching) -> CachingReturn:
    """What a response cache is worth."""
    requests, each = Fraction(cache.requests_per_month), Fraction(cache.usd_per_request)
    running = Fraction(cache.infrastructure_usd_per_month) + requests * Fraction(cache.usd_per_lookup)
    hits = requests * Fraction(cache.hit_rate)
    return CachingReturn(
        breakeven_hit_rate=ratio(running / (requests * each)),
        hits_per_month=ratio(hits),
        result=_return(hits * each, running, cache.implementation_usd, cache.months),
    )


class Batching(Document):
    """Input of `batching`: work that may wait goes to a batch API at a discount."""

    usd_per_month: Amount
    eligible_share: Share
    discount: Share = Decimal("0.5")
    overhead_usd_per_month: Amount = Decimal(0)
    implementation_usd: Amount = Decimal(0)
    months: Months = 12


def batching(batch: Batching) -> Return:
    """What a batch API is worth."""
    gross = Fraction(batch.usd_per_month) * Fraction(batch.eligible_share) * Fraction(batch.discount)
    return _return(gross, Fraction(batch.overhead_usd_per_month), batch.implementation_usd, batch.months)


class Period(Document):
    """A month's cost and the units it served."""

    usd: Amount
    units: Positive = Decimal(1)


class Tracking(Document):
    """Input of `track`: before and after, for the same kind of unit. `predicted_usd_per_month`: what was promised."""

    before: Period
    after: Period
    implementation_usd: Amount = Decimal(0)
    running_usd_per_month: Exact = Decimal(0)
    predicted_usd_per_month: Positive | None = None
    months: Months = 12


@dataclass(frozen=True, slots=True)
class Tracked:
    """Saving at the volume after. `realised`: of what was predicted; None without a prediction."""

    before_per_unit_usd: Decimal
    after_per_unit_usd: Decimal
    saved_share: Decimal
    realised: Decimal | None
    result: Return


def track(tracking: Tracking) -> Tracked:
    """What a measure has really brought: growth of the volume is neither held against it nor counted for it."""
    before = Fraction(tracking.before.usd) / Fraction(tracking.before.units)
    after = Fraction(tracking.after.usd) / Fraction(tracking.after.units)
    gross = (before - after) * Fraction(tracking.after.units)
    result = _return(gross, Fraction(tracking.running_usd_per_month), tracking.implementation_usd, tracking.months)
    predicted = tracking.predicted_usd_per_month
    return Tracked(
        before_per_unit_usd=usd(before),
        after_per_unit_usd=usd(after),
        saved_share=ratio((before - after) / before if before else Fraction(0)),
        realised=ratio(Fraction(result.net_saving_usd) / Fraction(predicted)) if predicted else None,
        result=result,
    )
