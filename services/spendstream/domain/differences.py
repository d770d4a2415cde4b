"""From cumulative rows to what changed: the last value seen of each, so that a repeated message changes nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from spendstream.domain.rollups import GRAINS, LATE_BLOCK, SUMS

MANY_ROWS = 20_000

Identity = tuple[Any, ...]


class Differences:
    """Last value per cumulative row; turns rows into changes.

    Rows that can no longer change are forgotten `keep_us` behind the newest minute of their source (`keep_us` must
    exceed the allowed lateness): on-time rows by their minute, late rows once the log has left their block. What still
    comes for a forgotten row is a repetition. It is looked for when time has moved on, and when the rows have doubled:
    corrections of last month come in numbers and move no time.
    """

    def __init__(self, keep_us: int = 2 * 3_600_000_000) -> None:
        self._keep_us = keep_us
        self._last: dict[Identity, tuple[int, tuple[int, ...]]] = {}
        self._sources: dict[tuple[str, int], _Source] = {}
        self._kept = 0

    def __len__(self) -> int:
        return len(self._last)

    def apply(self, rows: Iterable[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], tuple[int, ...]]]:
        """Rows that changed (CostRollup records, minute in microseconds), each with its differences by `SUMS`."""
        changed: list[tuple[Mapping[str, Any], tuple[int, ...]]] = []
        for row in rows:
            source = self._sources.setdefault((row["incarnation"], row["source_partition"]), _Source())
            source.saw(row["last_offset"], row["minute"])
            identity = self._identity(row)
            version, before = self._last.get(identity, (-1, _ZERO))
            if version == -1 and source.is_final(row["minute"], row["epoch"], row["late"]):
                continue
            if row["last_offset"] <= version:
                continue
            value = tuple(row[name] for name in SUMS)
            self._last[identity] = (row["last_offset"], value)
            difference = tuple(new - old for new, old in zip(value, before, strict=True))
            if any(difference):
                changed.append((row, difference))
        self._forget()
        return changed

    @staticmethod
    def _identity(row: Mapping[str, Any]) -> Identity:
        dimensions = tuple(row[name] for name in GRAINS[row["grain"]])
        position = (row["incarnation"], row["source_partition"], row["minute"], row["epoch"], row["late"])
        return (row["grain"], *position, *dimensions)

    def _forget(self) -> None:
        moved = [source for source in self._sources.values() if source.move_floor(self._keep_us)]
        if len(self._last) > 2 * self._kept + MANY_ROWS:
            for source in self._sources.values():
                source.leave_blocks()
        elif not moved:
            return
        self._last = {
            identity: value
            for identity, value in self._last.items()
            if not self._sources[identity[1], identity[2]].is_final(identity[3], identity[4], identity[5])
        }
        self._kept = len(self._last)

    def snapshot(self) -> dict[str, Any]:
        return {
            "last": [[list(identity), version, list(value)] for identity, (version, value) in self._last.items()],
            "sources": [[list(key), source.as_list()] for key, source in self._sources.items()],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self._last = {tuple(identity): (version, tuple(value)) for identity, version, value in snapshot["last"]}
        self._sources = {(key[0], key[1]): _Source(*fields) for key, fields in snapshot["sources"]}
        self._kept = len(self._last)


_ZERO = (0,) * len(SUMS)


@dataclass
class _Source:
    """What one source partition has shown: `complete` is the last batch all of whose rows have been seen."""

    newest_minute: int = 0
    batch: int = -1
    complete: int = -1
    floor: int = 0
    complete_at_floor: int = -1
    #: Newest minute of the complete batches; what is still to come of the current one may be much older.
    newest_complete: int = 0

    def saw(self, last_offset: int, minute: int) -> None:
        if last_offset > self.batch:
            self.complete, self.batch = self.batch, last_offset
            self.newest_complete = self.newest_minute
        self.newest_minute = max(self.newest_minute, minute)

    def is_final(self, minute: int, epoch: int, late: bool) -> bool:
        """True for a row whose last value had been seen when this was last settled."""
        return minute < self.floor and (not late or epoch // LATE_BLOCK < self.complete_at_floor // LATE_BLOCK)

    def move_floor(self, keep_us: int) -> bool:
        """Move the floor once that forgets at least a tenth of what is kept."""
        floor = self.newest_complete - keep_us
        if floor - self.floor <= keep_us // 10:
            return False
        self.floor, self.complete_at_floor = floor, self.complete
        return True

    def leave_blocks(self) -> None:
        """Let late rows behind the floor be final that no batch after the last complete one can change."""
        self.complete_at_floor = self.complete

    def as_list(self) -> list[int]:
        return list(astuple(self))
