"""Ranking of optimisations: what each would save alone, and all of them in sequence (domain.md §7).

Each measure acts on the bill the one before left (`recommendations/sequence.py`), the largest first.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from spendstream.domain.economics.exact import Document, Share, Text, ratio
from spendstream.domain.economics.usage_cost import Pattern, TokenPrice, input_and_output
from spendstream.domain.money import PICO_PER_USD, usd_from_pico
from spendstream.domain.recommendations.sequence import Bill, Cache, Measure, Route, Stream, Trim, remaining


class CacheMeasure(Document):
    """A cache answers `share` of the requests."""

    kind: Literal["cache"]
    name: Text
    share: Share


class RouteMeasure(Document):
    """`share` of the requests moves to a model of these prices."""

    kind: Literal["route"]
    name: Text
    share: Share
    usd_per_million_tokens: TokenPrice


class TrimMeasure(Document):
    """Prompts get shorter by `share`."""

    kind: Literal["trim"]
    name: Text
    share: Share


class Optimisation(Document):
    """Input of `rank`: a period's traffic, and what could be done."""

    traffic: Pattern
    measures: Annotated[
        tuple[Annotated[CacheMeasure | RouteMeasure | TrimMeasure, Field(discriminator="kind")], ...],
        Field(min_length=1),
    ]


@dataclass(frozen=True, slots=True)
class Step:
    """A measure in its place of the sequence."""

    measure: str
    alone_usd: Decimal
    in_sequence_usd: Decimal
    bill_after_usd: Decimal


@dataclass(frozen=True, slots=True)
class Ranking:
    """`alone_usd` is what the measures would save one by one, added up: more than they can together."""

    before_usd: Decimal
    after_usd: Decimal
    saved_usd: Decimal
    saved_share: Decimal
    alone_usd: Decimal
    steps: tuple[Step, ...]


def rank(plan: Optimisation) -> Ranking:
    """Measures by what they save alone, then applied in that order. `ValueError` for a route without a price to
    compare with."""
    into, out = input_and_output(plan.traffic)
    bill: Bill = (Stream(into * PICO_PER_USD, out * PICO_PER_USD),)
    before = remaining(bill, [])
    measures = [(given.name, _measure(given, plan.traffic.usd_per_million_tokens)) for given in plan.measures]
    alone = {name: before - remaining(bill, [measure]) for name, measure in measures}
    if len(alone) < len(measures):
        raise ValueError("measures: two have the same name")
    ranked = sorted(measures, key=lambda each: (-alone[each[0]], each[0]))
    steps, left = [], before
    for i, (name, _) in enumerate(ranked):
        after = remaining(bill, [measure for _, measure in ranked[: i + 1]])
        steps.append(Step(name, usd_from_pico(alone[name]), usd_from_pico(left - after), usd_from_pico(after)))
        left = after
    return Ranking(
        before_usd=usd_from_pico(before),
        after_usd=usd_from_pico(left),
        saved_usd=usd_from_pico(before - left),
        saved_share=ratio(Fraction(before - left, before) if before else Fraction(0)),
        alone_usd=usd_from_pico(sum(alone.values())),
        steps=tuple(steps),
    )


def _measure(given: CacheMeasure | RouteMeasure | TrimMeasure, price: TokenPrice) -> Measure:
    share = Fraction(given.share)
    if isinstance(given, CacheMeasure):
        return Cache(share)
    if isinstance(given, TrimMeasure):
        return Trim(share)
    other = given.usd_per_million_tokens
    return Route(share, _over(other.input, price.input), _over(other.output, price.output))


def _over(price: Decimal, current: Decimal) -> Fraction:
    if current == 0:
        if price:
            raise ValueError("a class that is free today cannot get a price by a route: leave it out of both")
        return Fraction(1)
    return Fraction(price) / Fraction(current)
