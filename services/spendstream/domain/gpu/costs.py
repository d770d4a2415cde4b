"""From one sample to rows that add up to what the device cost: cost = price per hour × interval (domain.md §3, §4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from spendstream.domain.gpu.owners import GpuOwners, Owned
from spendstream.domain.gpu.policy import SM
from spendstream.domain.gpu.prices import GpuPriceBook, GpuPriceRevision
from spendstream.domain.gpu.sample import BadSampleError, Sample
from spendstream.domain.gpu.sharing import IDLE, Share, share_device
from spendstream.domain.gpu.weights import split_by_weights, weights_of

MS_PER_HOUR: Final = 3_600_000
MAX_AMOUNT: Final = 2**63 - 1
PRICED, UNPRICED, GAP = "priced", "unpriced", "gap"
UNOWNED: Final = Owned({}, "", "")


@dataclass(frozen=True, slots=True)
class GpuBook:
    """What one organisation has declared about GPUs. `basis`: by what owners share a device, SM or MEMORY."""

    prices: GpuPriceBook = field(default_factory=GpuPriceBook)
    owners: GpuOwners = field(default_factory=GpuOwners)
    basis: str = SM


@dataclass(frozen=True, slots=True)
class CostRow:
    """One share of a device over one interval, its owner (nobody: no tags at all) and its cost.

    `weight` ÷ the sum of the reading's weights is its share of the reading; `share` is of the physical device, which
    is another for a slice that reports for itself.
    """

    instance: str
    kind: str
    identity: Mapping[str, str]
    owned: Owned
    weight: int
    share: Fraction
    cost_pico_usd: int


@dataclass(frozen=True, slots=True)
class RatedSample:
    """What a sample costs. `status`: priced, unpriced (`reason` says why; rows cost 0) or gap (no rows)."""

    sample: Sample
    status: str
    reason: str
    price: GpuPriceRevision | None
    cost_pico_usd: int
    rows: Sequence[CostRow]


def cost_pico_usd(
    pico_usd_per_hour: int, interval_ms: int, fraction: Fraction = Fraction(1), start: Fraction | None = None
) -> int:
    """Cost of `fraction` of a device over an interval, half-even to a pico-dollar.

    With `start` (where the slice begins) the cost is the difference of two points on one scale, so adjacent slices add
    up to the device whatever their rounding.
    """
    whole = Fraction(pico_usd_per_hour) * interval_ms / MS_PER_HOUR
    if start is None:
        return round(whole * fraction)
    return round(whole * (start + fraction)) - round(whole * start)


def effective_price(usd_per_hour: Fraction | int, utilisation: Fraction) -> Fraction | None:
    """Price of an hour of work: price / utilisation; None for a device that does nothing (domain.md §3)."""
    return Fraction(usd_per_hour) / utilisation if utilisation else None


def rate_sample(sample: Sample, book: GpuBook) -> RatedSample:
    """Cost and owners of a sample under `book`: a pure function of the two. `BadSampleError` for an absurd amount."""
    if sample.is_gap:
        return RatedSample(sample, GAP, "", None, 0, ())
    found = book.prices.at(sample.gpu_model, sample.region, sample.sampled_at)
    price, reason = (None, found) if isinstance(found, str) else (found, "")
    hourly = price.price.pico_usd_per_hour if price else 0
    cost = cost_pico_usd(hourly, sample.interval_ms, sample.fraction, sample.fraction_from)
    if cost > MAX_AMOUNT:
        raise BadSampleError("amount_overflow", f"{sample.interval_ms} ms at {hourly} pico-dollars an hour")
    rows = _rows(sample, cost, book)
    return RatedSample(sample, PRICED if price else UNPRICED, reason, price, cost, rows)


def _rows(sample: Sample, cost: int, book: GpuBook) -> list[CostRow]:
    shares = share_device(sample, book.basis)
    weights = weights_of([share.parts for share in shares], [share.whole for share in shares])
    parts = zip(shares, weights, split_by_weights(cost, weights), strict=True)
    return [_row(sample, share, weight, part, book.owners) for share, weight, part in parts]


def _row(sample: Sample, share: Share, weight: int, part: int, owners: GpuOwners) -> CostRow:
    identity = share.process.identity
    owned = UNOWNED if share.kind == IDLE else owners.find(sample.org, sample.host, identity, sample.sampled_at)
    whole = Fraction(share.parts * sample.fraction.numerator, share.whole * sample.fraction.denominator)
    return CostRow(share.instance, share.kind, identity, owned, weight, whole, part)
