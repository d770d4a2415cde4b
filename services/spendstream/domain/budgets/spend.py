"""All spend of the last weeks, and which budgets each combination of dimensions falls under."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from spendstream.domain.budgets import wording
from spendstream.domain.budgets.counters import Tracked
from spendstream.domain.budgets.cube import Cube, Ints
from spendstream.domain.budgets.model import DIMENSIONS
from spendstream.domain.budgets.scopes import Combinations, ScopeIndex
from spendstream.domain.budgets.windows import DAY, HOUR, MINUTE, QUARTER_HOUR

# A late delta is counted up to this age. The cube reaches further back, so that a day's window is whole when it comes.
HORIZON: Final = 40 * DAY
_KEPT: Final = HORIZON + 2 * DAY
_KEPT_MINUTES: Final = 6 * HOUR + QUARTER_HOUR

_MODEL, _SERVICE = DIMENSIONS.index("model"), DIMENSIONS.index("service")


class Spend:
    """Two cubes: quarter-hours for weeks, minutes for six hours. Sums are remembered until the next `add`."""

    def __init__(self) -> None:
        self._combinations = Combinations()
        self._quarters, self._minutes = Cube(QUARTER_HOUR), Cube(MINUTE)
        self._index: ScopeIndex[Tracked] = ScopeIndex()
        self._matches: list[list[Tracked]] = []
        self._sums: dict[tuple[int, int, int], dict[int, int]] = {}

    def watch(self, budgets: Iterable[Tracked]) -> None:
        """From now on match against these budgets; all known combinations are matched anew."""
        watched = [tracked for tracked in budgets if not tracked.is_ceiling]
        for tracked in watched:
            tracked.combos.clear()
        self._index, self._matches = ScopeIndex(watched), []
        self._match_new()

    def number(self, deltas: pl.DataFrame) -> Ints:
        """The combination number of each row."""
        numbers = self._combinations.number(deltas)
        self._match_new()
        return numbers

    def budgets_of(self, combo: int) -> list[Tracked]:
        return self._matches[combo]

    def add(self, minutes: Ints, combos: Ints, pico_usd: Ints, now: int) -> None:
        """Add row for row."""
        self._quarters.add(minutes, combos, pico_usd)
        recent = minutes >= now - _KEPT_MINUTES
        self._minutes.add(minutes[recent], combos[recent], pico_usd[recent])
        self._sums.clear()

    def of(self, tracked: Tracked, start: int, end: int) -> int:
        """Exact spend under a budget from `start` to before `end`, both on quarter-hours."""
        return self._total(tracked, self._totals(self._quarters, start, end))

    def recent(self, tracked: Tracked, span: int, now: int) -> int:
        """Spend under a budget in the last `span` microseconds, this minute included; beyond six hours by quarters."""
        end = now // MINUTE * MINUTE + MINUTE
        cube = self._minutes if span <= 6 * HOUR else self._quarters
        return self._total(tracked, self._totals(cube, end - span, end))

    def drivers(self, tracked: Tracked, start: int, end: int) -> str:
        """A sentence on which models and services drove the spend."""
        by_model: dict[str, int] = {}
        by_service: dict[str, int] = {}
        totals = self._totals(self._quarters, start, end)
        for number in tracked.combos & totals.keys():
            combo = self._combinations.values[number]
            by_model[combo[_MODEL]] = by_model.get(combo[_MODEL], 0) + totals[number]
            by_service[combo[_SERVICE]] = by_service.get(combo[_SERVICE], 0) + totals[number]
        return wording.drivers(by_model, by_service)

    def prune(self, now: int, budgets: Iterable[Tracked]) -> None:
        """Forget what is too old, and combinations that nothing refers to once they are the majority."""
        self._quarters.prune(now - _KEPT)
        self._minutes.prune(now - _KEPT_MINUTES)
        self._sums.clear()
        used = self._quarters.combos()  # every recent minute is in its quarter-hour
        if 2 * len(used) < len(self._combinations):
            self._quarters.renumber(used)
            self._minutes.renumber(used)
            self._combinations = Combinations(self._combinations.values[number] for number in used.tolist())
            self.watch(budgets)

    def snapshot(self) -> dict[str, Any]:
        return {
            "combinations": [list(combo) for combo in self._combinations.values],
            "quarters": self._quarters.snapshot(),
            "minutes": self._minutes.snapshot(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Spend":
        """The spend that `snapshot` described; `watch` the budgets next."""
        spend = cls()
        spend._combinations = Combinations(tuple(combo) for combo in state["combinations"])
        spend._quarters, spend._minutes = Cube.restore(state["quarters"]), Cube.restore(state["minutes"])
        return spend

    @property
    def size(self) -> tuple[int, int]:
        """Entries and bytes of both cubes."""
        cubes = (self._quarters, self._minutes)
        return sum(cube.entries for cube in cubes), sum(cube.nbytes for cube in cubes)

    def _match_new(self) -> None:
        for number in range(len(self._matches), len(self._combinations)):
            found = self._index.match(self._combinations.values[number])
            for tracked in found:
                tracked.combos.add(number)
            self._matches.append(found)

    def _totals(self, cube: Cube, start: int, end: int) -> dict[int, int]:
        key = (cube.slot, start, end)
        if key not in self._sums:
            self._sums[key] = cube.totals(start, end)
        return self._sums[key]

    @staticmethod
    def _total(tracked: Tracked, totals: Mapping[int, int]) -> int:
        return sum(totals[number] for number in tracked.combos & totals.keys())


def grouped(minutes: Ints, combos: Ints) -> tuple[Ints, Ints, Ints]:
    """Minute and combination of each distinct pair, and the place of each row's pair among them."""
    pairs, place = np.unique((minutes // MINUTE << 32) | combos, return_inverse=True)
    return (pairs >> 32) * MINUTE, pairs & 0xFFFF_FFFF, place
