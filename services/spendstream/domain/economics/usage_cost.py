"""What a pattern of use costs at given token prices, and what changes against the first one (domain.md §3, §6).

cost = requests × (input tokens × input price + output tokens × output price) / 1 000 000
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from spendstream.domain.economics.exact import MILLION, Amount, Document, Positive, Text, usd


class TokenPrice(Document):
    """USD per million tokens."""

    input: Amount = Decimal(0)
    output: Amount = Decimal(0)


class Pattern(Document):
    """Requests alike: tokens are those of one request."""

    name: Text
    requests: Positive = Decimal(1)
    input_tokens: Amount = Decimal(0)
    output_tokens: Amount = Decimal(0)
    usd_per_million_tokens: TokenPrice


class Patterns(Document):
    """Input of `usage_cost`."""

    patterns: Annotated[tuple[Pattern, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class PatternCost:
    """Cost of a pattern; `more_usd`: than the first pattern."""

    name: str
    requests: Decimal
    per_request_usd: Decimal
    input_usd: Decimal
    output_usd: Decimal
    cost_usd: Decimal
    more_usd: Decimal


@dataclass(frozen=True, slots=True)
class UsageCost:
    """One line a pattern."""

    patterns: tuple[PatternCost, ...]


def input_and_output(pattern: Pattern) -> tuple[Fraction, Fraction]:
    """USD of all requests, input and output apart."""
    requests, price = Fraction(pattern.requests), pattern.usd_per_million_tokens
    return (
        requests * Fraction(pattern.input_tokens) * Fraction(price.input) / MILLION,
        requests * Fraction(pattern.output_tokens) * Fraction(price.output) / MILLION,
    )


def usage_cost(asked: Patterns) -> UsageCost:
    """Cost of every pattern."""
    costs = [input_and_output(pattern) for pattern in asked.patterns]
    first = sum(costs[0])
    return UsageCost(
        tuple(
            PatternCost(
                pattern.name,
                pattern.requests,
                usd((into + out) / Fraction(pattern.requests)),
                usd(into),
                usd(out),
                usd(into + out),
                usd(into + out - first),
            )
            for pattern, (into, out) in zip(asked.patterns, costs, strict=True)
        )
    )
