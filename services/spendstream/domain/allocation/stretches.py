"""A month in stretches of days, each with the same rules in force, and its cost and usage by stretch."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from spendstream.domain.allocation.model import DIMENSIONS, SourceRow
from spendstream.domain.allocation.rules import Rule
from spendstream.domain.effective import Turns, day_of
from spendstream.domain.money import split


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
        """The rows of each stretch. What lies in several is divided by its days in each, to the last unit, cost and
        metrics alike; rows alike in everything else are summed before, so that it does not matter how they came."""
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
        days = [(after - before).days for before, after in zip([first, *inside], [*inside, end], strict=True)]
        numbers = range(self._number(first), self._number(first) + len(days))
        costs = split(row.cost_pico_usd, days, numbers)
        metrics = {name: split(quantity, days, numbers) for name, quantity in row.metrics.items()}
        for i, number in enumerate(numbers):
            quantities = {name: parts[i] for name, parts in metrics.items()}
            yield number, row._replace(cost_pico_usd=costs[i], metrics=quantities)


def _sum(one: SourceRow, other: SourceRow) -> SourceRow:
    names = one.metrics.keys() | other.metrics.keys()
    return one._replace(
        cost_pico_usd=one.cost_pico_usd + other.cost_pico_usd,
        metrics={name: one.metrics.get(name, 0) + other.metrics.get(name, 0) for name in names},
    )
