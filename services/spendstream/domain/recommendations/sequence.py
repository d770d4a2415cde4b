"""Savings that overlap are combined in sequence, never added up: each measure acts on the bill the one before left.

A bill is a list of streams with an input and an output cost, because a measure may touch only one of them: shorter
prompts save a share of the input of whatever traffic is left, on whatever model it runs by then. Exact: shares are
fractions, money is rounded once at the end. Worked example: domain.md §7.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

Bill = tuple["Stream", ...]


@dataclass(frozen=True)
class Stream:
    """Cost of a period, pico-dollars (a fraction between two measures)."""

    input_pico_usd: Fraction
    output_pico_usd: Fraction

    @property
    def cost(self) -> Fraction:
        return self.input_pico_usd + self.output_pico_usd

    def times(self, share: Fraction) -> "Stream":
        return Stream(self.input_pico_usd * share, self.output_pico_usd * share)


@dataclass(frozen=True)
class Cache:
    """A cache answers `share` of the spend of every stream."""

    share: Fraction

    def apply(self, bill: Bill) -> Bill:
        return tuple(stream.times(1 - self.share) for stream in bill)


@dataclass(frozen=True)
class Route:
    """`share` of every stream moves to a model where its input and output cost these ratios of what they cost here."""

    share: Fraction
    input_ratio: Fraction
    output_ratio: Fraction

    def apply(self, bill: Bill) -> Bill:
        stays = tuple(stream.times(1 - self.share) for stream in bill)
        moves = tuple(
            Stream(
                stream.input_pico_usd * self.share * self.input_ratio,
                stream.output_pico_usd * self.share * self.output_ratio,
            )
            for stream in bill
        )
        return stays + moves


@dataclass(frozen=True)
class Trim:
    """Prompts get shorter by `share`."""

    share: Fraction

    def apply(self, bill: Bill) -> Bill:
        return tuple(Stream(s.input_pico_usd * (1 - self.share), s.output_pico_usd) for s in bill)


Measure = Cache | Route | Trim


def remaining(bill: Bill, measures: Iterable[Measure]) -> int:
    """Cost, pico-dollars, of `bill` after all `measures`, one after the other."""
    for measure in measures:
        bill = measure.apply(bill)
    return round(sum((stream.cost for stream in bill), Fraction(0)))


def combined_saving(bill: Bill, measures: Iterable[Measure]) -> int:
    """Pico-dollars that `measures` in sequence save of `bill`."""
    return remaining(bill, ()) - remaining(bill, measures)
