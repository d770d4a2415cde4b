"""Which GPU, how many, and what an hour of useful work costs (domain.md §3 and §8).

instances = ⌈peak × (1 + headroom) / throughput⌉, among GPUs that meet latency and memory
effective price = price / utilisation
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from spendstream.domain.economics.exact import (
    HOURS_A_MONTH,
    Amount,
    Document,
    Exact,
    Positive,
    Text,
    ceiling,
    either,
    ratio,
    usd,
)


class Demand(Document):
    """What must be served at the peak. `headroom`: spare capacity that must be left, as a share of the peak."""

    requests_per_second: Positive
    p95_ms: Positive
    memory_gb: Amount = Decimal(0)
    headroom: Amount = Decimal(0)


class Gpu(Document):
    """A GPU as measured with the model on it; its price an hour or a month."""

    name: Text
    requests_per_second: Positive
    p95_ms: Positive
    memory_gb: Amount | None = None
    usd_per_hour: Amount | None = None
    usd_per_month: Amount | None = None

    def model_post_init(self, _: object) -> None:
        either(self.usd_per_hour, (self.usd_per_month,), "usd_per_hour or usd_per_month")


class Selection(Document):
    """Input of `select`."""

    demand: Demand
    gpus: Annotated[tuple[Gpu, ...], Field(min_length=1)]
    hours_per_month: Positive = HOURS_A_MONTH


@dataclass(frozen=True, slots=True)
class Offer:
    """What one kind of GPU would take. `headroom`: spare capacity at the peak; a GPU that does not fit has a reason."""

    gpu: str
    fits: bool
    instances: int
    monthly_usd: Decimal
    headroom: Decimal
    p95_ms: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class Selected:
    """Offers, cheapest first, more headroom first among equals. `best`: all that cost the least, if any fits."""

    best: tuple[str, ...]
    monthly_usd: Decimal | None
    offers: tuple[Offer, ...]


def select(wanted: Selection) -> Selected:
    """Every GPU with the instances it takes, and the cheapest that fits."""
    hours = Fraction(wanted.hours_per_month)
    offers = sorted((_offer(gpu, wanted.demand, hours) for gpu in wanted.gpus), key=_rank)
    fitting = [offer for offer in offers if offer.fits]
    least = fitting[0].monthly_usd if fitting else None
    return Selected(tuple(offer.gpu for offer in fitting if offer.monthly_usd == least), least, tuple(offers))


def _offer(gpu: Gpu, demand: Demand, hours: Fraction) -> Offer:
    peak, throughput = Fraction(demand.requests_per_second), Fraction(gpu.requests_per_second)
    instances = ceiling(peak * (1 + Fraction(demand.headroom)) / throughput)
    month = Fraction(gpu.usd_per_month) if gpu.usd_per_month is not None else Fraction(gpu.usd_per_hour or 0) * hours
    reasons = []
    if gpu.p95_ms >= demand.p95_ms:
        reasons.append(f"P95 of {gpu.p95_ms} ms is not below {demand.p95_ms} ms")
    if gpu.memory_gb is not None and gpu.memory_gb < demand.memory_gb:
        reasons.append(f"{gpu.memory_gb} GB are less than {demand.memory_gb} GB")
    return Offer(
        gpu=gpu.name,
        fits=not reasons,
        instances=instances,
        monthly_usd=usd(month * instances),
        headroom=ratio(instances * throughput / peak - 1),
        p95_ms=gpu.p95_ms,
        reason="; ".join(reasons),
    )


def _rank(offer: Offer) -> tuple[bool, Decimal, Decimal, str]:
    return not offer.fits, offer.monthly_usd, -offer.headroom, offer.gpu


class HourlyPrice(Document):
    """Input of `effective_prices`."""

    usd_per_hour: Amount
    utilisation: Annotated[tuple[Annotated[Exact, Field(gt=0, le=1)], ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class EffectivePrice:
    """What an hour of useful work costs at a utilisation."""

    utilisation: Decimal
    effective_usd_per_hour: Decimal


@dataclass(frozen=True, slots=True)
class EffectivePrices:
    """One line for each utilisation that was asked for."""

    usd_per_hour: Decimal
    prices: tuple[EffectivePrice, ...]


def effective_prices(price: HourlyPrice) -> EffectivePrices:
    """Price / utilisation, for each utilisation."""
    hourly = Fraction(price.usd_per_hour)
    lines = tuple(EffectivePrice(share, usd(hourly / Fraction(share))) for share in price.utilisation)
    return EffectivePrices(usd(hourly), lines)
