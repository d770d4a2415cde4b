"""Training strategy: from scratch, fine-tuned, adapted or not at all, over a horizon (domain.md §8).

GPU hours = 6 × parameters × tokens / (TFLOPS × 10^12 × MFU × 3 600)      (C ≈ 6 N D: Kaplan et al. 2020)
GPU cost  = runs × GPU hours × price × (1 − spot discount) × (1 + work lost to interruptions)
cost      = GPU cost + data + people + months × inference a month
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from spendstream.domain.economics.exact import (
    SECONDS_AN_HOUR,
    Amount,
    Document,
    Exact,
    Positive,
    Share,
    Text,
    ceiling,
    either,
    ratio,
    usd,
)

FLOPS_PER_PARAMETER_AND_TOKEN = 6


class Compute(Document):
    """The work of one run: measured `gpu_hours`, or what they come to from the size of model and data."""

    gpu_hours: Amount | None = None
    parameters: Positive | None = None
    tokens: Positive | None = None
    tflops: Positive | None = None
    mfu: Annotated[Exact, Field(gt=0, le=1)] | None = None

    def model_post_init(self, _: object) -> None:
        sizes = (self.parameters, self.tokens, self.tflops, self.mfu)
        either(self.gpu_hours, sizes, "gpu_hours, or parameters, tokens, tflops and mfu")

    @property
    def hours(self) -> Fraction:
        """GPU hours of one run."""
        if self.gpu_hours is not None:
            return Fraction(self.gpu_hours)
        assert self.parameters and self.tokens and self.tflops and self.mfu
        flops = FLOPS_PER_PARAMETER_AND_TOKEN * Fraction(self.parameters) * Fraction(self.tokens)
        return flops / (Fraction(self.tflops) * 10**12 * Fraction(self.mfu) * SECONDS_AN_HOUR)


class Spot(Document):
    """Interruptible GPUs: their discount, and the share of work that is done twice."""

    discount: Share
    rework_share: Amount = Decimal(0)


class Strategy(Document):
    """One way to a model that is good enough. `quality` is in the unit of `minimum_quality`."""

    name: Text
    compute: Compute | None = None
    runs: Positive = Decimal(1)
    usd_per_gpu_hour: Amount = Decimal(0)
    spot: Spot | None = None
    data_usd: Amount = Decimal(0)
    people_usd: Amount = Decimal(0)
    inference_usd_per_month: Amount = Decimal(0)
    quality: Exact


class Training(Document):
    """Input of `compare`: the first strategy is what the others are compared with."""

    months: Annotated[int, Field(gt=0, le=600)]
    minimum_quality: Exact
    strategies: Annotated[tuple[Strategy, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class StrategyCost:
    """`payback_months`: until what it costs up front beyond the first strategy is won back by cheaper inference; None
    when it never is."""

    strategy: str
    good_enough: bool
    gpu_hours: Decimal
    gpu_usd: Decimal
    upfront_usd: Decimal
    inference_usd: Decimal
    total_usd: Decimal
    payback_months: int | None


@dataclass(frozen=True, slots=True)
class Trainings:
    """Strategies, those that are good enough first, the cheapest first. `best` is None when none is."""

    best: str | None
    total_usd: Decimal | None
    strategies: tuple[StrategyCost, ...]


def compare(training: Training) -> Trainings:
    """What every strategy costs over the horizon, and the cheapest that is good enough."""
    reference = training.strategies[0]
    costs = [_cost(strategy, reference, training) for strategy in training.strategies]
    costs.sort(key=lambda cost: (not cost.good_enough, cost.total_usd, cost.strategy))
    best = costs[0] if costs[0].good_enough else None
    return Trainings(best.strategy if best else None, best.total_usd if best else None, tuple(costs))


def _upfront(strategy: Strategy) -> tuple[Fraction, Fraction, Fraction]:
    """GPU hours of all runs, their cost, and everything that is paid once."""
    hours = strategy.compute.hours * Fraction(strategy.runs) if strategy.compute else Fraction(0)
    price = Fraction(strategy.usd_per_gpu_hour)
    if strategy.spot is not None:
        price *= 1 - Fraction(strategy.spot.discount)
        hours *= 1 + Fraction(strategy.spot.rework_share)
    gpu = hours * price
    return hours, gpu, gpu + Fraction(strategy.data_usd) + Fraction(strategy.people_usd)


def _cost(strategy: Strategy, reference: Strategy, training: Training) -> StrategyCost:
    hours, gpu, upfront = _upfront(strategy)
    inference = training.months * Fraction(strategy.inference_usd_per_month)
    more = upfront - _upfront(reference)[2]
    less = Fraction(reference.inference_usd_per_month) - Fraction(strategy.inference_usd_per_month)
    return StrategyCost(
        strategy=strategy.name,
        good_enough=strategy.quality >= training.minimum_quality,
        gpu_hours=ratio(hours),
        gpu_usd=usd(gpu),
        upfront_usd=usd(upfront),
        inference_usd=usd(inference),
        total_usd=usd(upfront + inference),
        payback_months=0 if more <= 0 and less >= 0 else ceiling(more / less) if less > 0 else None,
    )
