"""Two ways to serve the same tokens for less: the provider's prompt cache, and larger batches on one's own GPU.

prompt cache   a prefix written once and read k times costs w + k r prompts instead of 1 + k
               it pays from k = (w − 1) / (1 − r) reads a write on
batch size     cost of a million tokens = price an hour / (tokens a second × 3 600) × 1 000 000
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from spendstream.domain.economics.exact import (
    MILLION,
    SECONDS_AN_HOUR,
    Amount,
    Document,
    Exact,
    Positive,
    Share,
    ratio,
    usd,
)


class PromptCache(Document):
    """Input of `prompt_cache`. `reads_per_write`: how often a prefix is read before it expires. The multipliers are of
    the input price; the defaults are those of Anthropic's 5-minute cache."""

    requests_per_month: Positive
    prefix_tokens: Positive
    usd_per_million_input_tokens: Positive
    reads_per_write: Amount
    write_multiplier: Positive = Decimal("1.25")
    read_multiplier: Annotated[Exact, Field(ge=0, lt=1)] = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class PromptCacheReturn:
    """Monthly cost of the prefix with and without a cache; a negative saving is what the cache would cost."""

    without_usd: Decimal
    with_usd: Decimal
    saving_usd: Decimal
    saved_share: Decimal
    breakeven_reads_per_write: Decimal
    worth_it: bool


def prompt_cache(cache: PromptCache) -> PromptCacheReturn:
    """What caching a shared prefix is worth."""
    reads, write, read = (
        Fraction(cache.reads_per_write),
        Fraction(cache.write_multiplier),
        Fraction(cache.read_multiplier),
    )
    plain = (
        Fraction(cache.requests_per_month)
        * Fraction(cache.prefix_tokens)
        * Fraction(cache.usd_per_million_input_tokens)
        / MILLION
    )
    cached = plain * (write + reads * read) / (1 + reads)
    return PromptCacheReturn(
        without_usd=usd(plain),
        with_usd=usd(cached),
        saving_usd=usd(plain - cached),
        saved_share=ratio((plain - cached) / plain),
        breakeven_reads_per_write=ratio(max(Fraction(0), (write - 1) / (1 - read))),
        worth_it=cached < plain,
    )


class Measured(Document):
    """What a batch size was measured to do."""

    size: Annotated[int, Field(gt=0)]
    tokens_per_second: Positive
    p95_ms: Positive


class BatchSizes(Document):
    """Input of `batch_size`: the first measurement is what runs today."""

    usd_per_hour: Positive
    utilisation: Annotated[Share, Field(gt=0)] = Decimal(1)
    p95_ms: Positive
    tokens_per_month: Amount
    sizes: Annotated[tuple[Measured, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class SizeCost:
    """A batch size; `saving_usd`: a month, against the first one."""

    size: int
    fast_enough: bool
    usd_per_million_tokens: Decimal
    monthly_usd: Decimal
    saving_usd: Decimal
    p95_ms: Decimal


@dataclass(frozen=True, slots=True)
class BatchSizeChoice:
    """`best`: the cheapest that is fast enough, the smaller one of equals; None when none is."""

    best: int | None
    saving_usd: Decimal | None
    sizes: tuple[SizeCost, ...]


def batch_size(asked: BatchSizes) -> BatchSizeChoice:
    """What every batch size costs, and the cheapest within the latency."""
    tokens, costs = Fraction(asked.tokens_per_month), []
    for measured in asked.sizes:
        a_second = Fraction(measured.tokens_per_second) * Fraction(asked.utilisation)
        costs.append(Fraction(asked.usd_per_hour) / (a_second * SECONDS_AN_HOUR))
    lines = tuple(
        SizeCost(
            size=measured.size,
            fast_enough=measured.p95_ms < asked.p95_ms,
            usd_per_million_tokens=usd(each * MILLION),
            monthly_usd=usd(each * tokens),
            saving_usd=usd((costs[0] - each) * tokens),
            p95_ms=measured.p95_ms,
        )
        for measured, each in zip(asked.sizes, costs, strict=True)
    )
    fast = [line for line in lines if line.fast_enough]
    best = min(fast, key=lambda line: (line.usd_per_million_tokens, line.size), default=None)
    return BatchSizeChoice(best.size if best else None, best.saving_usd if best else None, lines)
