"""Which events were seen before: a hash table over event identities, a whole batch at a time.

A slot is 12 bytes (64-bit identity, 32-bit content); large tables are between 64 and 80 % full, so a million ids take
15 to 19 MB. Memory is given back a generation at a time: a generation is
dropped when its newest id is older than the horizon, or when the capacity would be exceeded (then the horizon that is
really held gets shorter, and `held_since` says so).
"""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]

SMALLEST = 1 << 12
FULLEST = 0.8
LARGE = 1 << 18  # slots; larger tables grow by a quarter, so that half a table is never empty
GENERATIONS = 4
MIX = np.uint64(0x9E3779B97F4A7C15)


class IdTable:
    """Open addressing with linear probing over NumPy arrays; identity 0 marks an empty slot."""

    def __init__(self, slots: int = SMALLEST) -> None:
        self._ids: U64 = np.zeros(slots, dtype=np.uint64)
        self._content: U32 = np.zeros(slots, dtype=np.uint32)
        self.count = 0

    def _home(self, ids: U64) -> npt.NDArray[np.int64]:
        spread = (ids * MIX) >> np.uint64(32)
        return ((spread * np.uint64(self._ids.size)) >> np.uint64(32)).astype(np.int64)

    def _next(self, slot: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        following = slot + 1
        following[following == self._ids.size] = 0
        return following

    def find(self, ids: U64) -> tuple[Bools, U32]:
        """For each id: is it here, and with which content."""
        found = np.zeros(ids.size, dtype=bool)
        content = np.zeros(ids.size, dtype=np.uint32)
        slot, waiting = self._home(ids), np.arange(ids.size)
        while waiting.size:
            here = self._ids[slot]
            hit = here == ids[waiting]
            found[waiting[hit]] = True
            content[waiting[hit]] = self._content[slot[hit]]
            onward = ~hit & (here != 0)
            waiting, slot = waiting[onward], self._next(slot[onward])
        return found, content

    def add(self, ids: U64, content: U32) -> None:
        """Insert ids that are distinct and not in the table."""
        while self.count + ids.size > FULLEST * self._ids.size:
            self._grow()
        slot, waiting = self._home(ids), np.arange(ids.size)
        while waiting.size:
            free = self._ids[slot] == 0
            self._ids[slot[free]] = ids[waiting[free]]
            # Two ids may have met in one free slot: the one that is now there has won it.
            won = self._ids[slot] == ids[waiting]
            self._content[slot[won]] = content[waiting[won]]
            waiting, slot = waiting[~won], self._next(slot[~won])
        self.count += ids.size

    def _grow(self) -> None:
        used = self._ids != 0
        ids, content = self._ids[used], self._content[used]
        grown = self._ids.size * 2 if self._ids.size < LARGE else self._ids.size * 5 // 4
        self.__init__(grown)  # type: ignore[misc]
        self.add(ids, content)


@dataclass
class Generation:
    """Ids that came in one after another; they are forgotten together."""

    first_ms: int
    last_ms: int
    table: IdTable = field(default_factory=IdTable)


@dataclass(frozen=True)
class Verdicts:
    """One flag per event; a valid event is new, a duplicate, a conflict, or too much for the sums of its minute."""

    new: Bools
    duplicate: Bools
    conflict: Bools
    overflow: Bools

    def without(self, overflow: Bools) -> "Verdicts":
        """The same with some of the new events refused."""
        return replace(self, new=self.new & ~overflow, overflow=self.overflow | overflow)


class DedupIndex:
    """The ids of one usage partition within the horizon."""

    def __init__(self, horizon_ms: int, capacity: int) -> None:
        self.horizon_ms = horizon_ms
        self.capacity = capacity
        self._generations: list[Generation] = []

    def clear(self) -> None:
        """Forget every id."""
        self._generations.clear()

    @property
    def count(self) -> int:
        """Ids held."""
        return sum(generation.table.count for generation in self._generations)

    @property
    def held_since_ms(self) -> int | None:
        """Broker time of the oldest id held; None when empty."""
        return self._generations[0].first_ms if self._generations else None

    def judge(self, ids: U64, content: U32) -> Verdicts:
        """Verdicts for a batch in log order, without remembering it: the first of equal ids wins."""
        ids = np.where(ids == 0, np.uint64(1), ids)
        unique, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
        known = np.zeros(unique.size, dtype=bool)
        expected = content[first]
        for generation in self._generations:
            found, seen = generation.table.find(unique)
            expected = np.where(found & ~known, seen, expected)
            known |= found
        new = np.zeros(ids.size, dtype=bool)
        new[first[~known]] = True
        same = content == expected[inverse]
        return Verdicts(new, ~new & same, ~new & ~same, np.zeros(ids.size, dtype=bool))

    def remember(self, ids: U64, content: U32, appended_ms: int) -> None:
        """Hold the ids of new events (distinct, not held) that the broker appended at `appended_ms`."""
        self._forget(appended_ms, ids.size)
        if not ids.size:
            return
        newest = self._generations[-1] if self._generations else None
        if newest is None or self._is_full(newest, appended_ms):
            newest = Generation(appended_ms, appended_ms)
            self._generations.append(newest)
        newest.table.add(np.where(ids == 0, np.uint64(1), ids), content)
        newest.last_ms = max(newest.last_ms, appended_ms)

    def _is_full(self, generation: Generation, now_ms: int) -> bool:
        spans = now_ms - generation.first_ms > self.horizon_ms // GENERATIONS
        return spans or generation.table.count >= self.capacity // GENERATIONS

    def _forget(self, now_ms: int, coming: int) -> None:
        oldest_needed = now_ms - self.horizon_ms
        while self._generations and self._generations[0].last_ms < oldest_needed:
            self._generations.pop(0)
        while self._generations and self.count + coming > self.capacity:
            self._generations.pop(0)
