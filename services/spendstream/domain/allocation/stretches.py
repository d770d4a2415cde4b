"""A month in stretches of days, each with the same rules in force, and its cost and usage by stretch."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import pairwise

from spendstream.domain.allocation.model import DIMENSIONS, SourceRow
from spendstream.domain.allocation.rules import Rule
from spendstream.domain.effective import Turns, day_of


def turns(rules: Iterable[Rule]) -> Sequence[date]:
    """The days on which a rule begins to be in force, or is no longer, ascending."""
    return [day_of(edge) for edge in Turns(rule.effective for rule in rules).edges]


class Stretches:
    """Stretches are numbered from 0; without dated rules there is that one only."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._turns = Turns(rule.effective for rule in rules)
        self._starts = [day_of(edge) for edge in self._turns.edges]

    def __len__(self) -> int:
        return len(self._starts) + 1

    def of(self, rule: Rule) -> Sequence[int]:
        """The stretches in which a rule is in force."""
        return [number for number in range(len(self)) if rule.effective.covers(self._turns.moment(number))]

    def cut(self, rows: Iterable[SourceRow]) -> list[list[SourceRow]]:
        """The rows of each stretch. What lies in several is divided by its days, to the last unit, cost and metrics
        alike; rows alike in everything else are summed before, so that it does not matter how they came."""
        found: list[list[SourceRow]] = [[] for _ in range(len(self))]
        across: dict[tuple[object, ...], SourceRow] = {}
        for row in rows:
            number = self._number(row.days.first)
            if not self._starts or row.days.end <= self._end(number, row.days.end):
                found[number].append(row)
            else:
                key = (*(row.dimensions[name] for name in DIMENSIONS), row.also_in, row.kind, row.reason, row.days)
                across[key] = _sum(across[key], row) if key in across else row
        for row in across.values():
            for number, part in self._parts(row):
                found[number].append(part)
        return found

    def _number(self, day: date) -> int:
        return bisect_right(self._starts, day)

    def _end(self, number: int, otherwise: date) -> date:
        return self._starts[number] if number < len(self._starts) else otherwise

    def _parts(self, row: SourceRow) -> Iterator[tuple[int, SourceRow]]:
        first, end = row.days
        inside = [start for start in self._starts if first < start < end]
        bounds = [(day - first).days for day in (first, *inside, end)]
        costs = _by_bounds(row.cost_pico_usd, bounds)
        metrics = {name: _by_bounds(quantity, bounds) for name, quantity in row.metrics.items()}
        for i, cost in enumerate(costs):
            quantities = {name: parts[i] for name, parts in metrics.items()}
            yield self._number(first) + i, row._replace(cost_pico_usd=cost, metrics=quantities)


def _by_bounds(amount: int, bounds: Sequence[int]) -> list[int]:
    """What of an amount, even over the days up to the last bound, lies between one bound and the next.

    Rounded where it has come to by each bound, not by part: other bounds change nothing between two of them.
    """
    sign, size, days = (-1 if amount < 0 else 1), abs(amount), bounds[-1]
    come_to = [(2 * size * day + days) // (2 * days) for day in bounds]
    return [sign * (later - earlier) for earlier, later in pairwise(come_to)]


def _sum(one: SourceRow, other: SourceRow) -> SourceRow:
    names = one.metrics.keys() | other.metrics.keys()
    return one._replace(
        cost_pico_usd=one.cost_pico_usd + other.cost_pico_usd,
        metrics={name: one.metrics.get(name, 0) + other.metrics.get(name, 0) for name in names},
    )
