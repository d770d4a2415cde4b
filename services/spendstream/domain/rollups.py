"""Cumulative rows: sums per dimensions and minute that are a pure function of a prefix of one log partition.

Writing side (`Rollups`): a row stays in memory until the partition's watermark (largest occurred_at so far minus the
allowed lateness) has passed its minute. A later record for such a minute is late: it opens a row of its own, named by
its own offset, which lives until the log crosses the next multiple of `LATE_BLOCK` offsets. Sums of a minute are the
sum over its rows.

Reading side (`Differences`): keeps the last value seen per row and passes on what changed, so a repeated or replayed
message changes nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MINUTE_US = 60_000_000
LATE_BLOCK = 1 << 16
ON_TIME = -1
MANY_ROWS = 20_000
BEYOND = 9.2e18  # just inside int64; compared with a float sum, which is good enough for the edge
MOST = int(BEYOND)

OWNER_DIMENSIONS = (
    "org", "team", "project", "environment", "cost_center", "service", "feature", "provider", "model", "category",
    "region", "tier",
)  # fmt: skip
CALLER_DIMENSIONS = ("org", "team", "service", "model", "user_id", "api_key_id")
GRAINS = {"owner": OWNER_DIMENSIONS, "caller": CALLER_DIMENSIONS}
SUMS = (
    "events", "requests", "error_requests", "cache_hits", "priced_events", "partial_events", "unpriced_events",
    "input_uncached_tokens", "input_cache_read_tokens", "input_cache_write_5m_tokens", "input_cache_write_1h_tokens",
    "output_text_tokens", "output_reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens",
    "cost_pico_usd", "error_cost_pico_usd", "latency_ms_sum", "uncapped_requests",
)  # fmt: skip
COST = SUMS.index("cost_pico_usd")


def lateness(occurred_at: Ints, watermark: int, allowed_us: int) -> tuple[Bools, int]:
    """Which events are late, and the watermark behind them.

    `watermark` is the largest occurred_at of counted events so far (not yet minus `allowed_us`); an event is judged by
    the events before it, so the answer does not depend on how the log is cut into batches.
    """
    if not occurred_at.size:
        return np.zeros(0, dtype=bool), watermark
    reached = np.maximum.accumulate(occurred_at)
    before = np.maximum(np.concatenate(([watermark], reached[:-1])), watermark)
    minute_end = (occurred_at // MINUTE_US + 1) * MINUTE_US
    return minute_end <= before - allowed_us, max(watermark, int(reached[-1]))


@dataclass(frozen=True)
class Touched:
    """Rows a batch has changed, with their new cumulative values; everything has one entry a row.

    `groups`: the grain's dimensions and `minute`. `hashes`: of the dimensions alone (`hash_of`).
    """

    groups: pl.DataFrame
    epochs: Ints
    late: Bools
    hashes: list[bytes]
    values: Ints

    @property
    def oldest_epoch(self) -> int | None:
        return int(self.epochs.min()) if self.epochs.size else None


NOTHING_TOUCHED = Touched(
    pl.DataFrame(), np.empty(0, np.int64), np.empty(0, bool), [], np.empty((0, len(SUMS)), np.int64)
)


def hash_of(grain: str, dimensions: tuple[str, ...]) -> bytes:
    """Eight bytes that stand for the dimensions of a row: the key of its messages."""
    return hashlib.blake2b("\x1f".join((grain, *dimensions)).encode(), digest_size=8).digest()


class SumOverflowError(Exception):
    """Some rows' sums would not fit 64 bits. `events[i]`: whether event i is part of such a row."""

    def __init__(self, events: Bools) -> None:
        super().__init__(f"the sums of a minute would not fit 64 bits with {int(events.sum())} of its events")
        self.events = events


@dataclass(frozen=True)
class Prepared:
    """What a batch adds: a group a row, with the sums the row will have; `found`: its row, -1 for a new one."""

    groups: pl.DataFrame
    keys: list[tuple[tuple[str, ...], int, int]]
    found: Ints
    after: Ints


def _too_much(events: pl.DataFrame, beyond: pl.DataFrame, before: Ints) -> Bools:
    """Of the events of rows that would overflow, the dearest: those without which the others fit.

    `beyond`: the keys of the rows, `before[i]`: what row i holds. Every row loses at least one event.
    """
    row = beyond.with_row_index("row")
    places = events.select(beyond.columns).join(
        row, on=beyond.columns, how="left", nulls_equal=True, maintain_order="left"
    )  # fmt: skip
    of_row = places["row"].fill_null(beyond.height).to_numpy()
    cost = events["cost_pico_usd"].to_numpy()
    refused = np.zeros(events.height, dtype=bool)
    for i, held in enumerate(before.tolist()):
        mine = np.flatnonzero(of_row == i)
        dearest_last = mine[np.argsort(cost[mine], kind="stable")]
        sums = [held + total for total in accumulate(cost[dearest_last].tolist())]
        fits = min(sum(total <= MOST for total in sums), mine.size - 1)
        refused[dearest_last[fits:]] = True
    return refused


class Rollups:
    """Open rows of one source partition and one grain."""

    def __init__(self, grain: str) -> None:
        self.grain = grain
        self.dimensions = GRAINS[grain]
        self._rows: dict[tuple[tuple[str, ...], int, int], int] = {}
        self._epochs: list[int] = []
        self._hashes: list[bytes] = []
        self._values: Ints = np.zeros((1024, len(SUMS)), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def oldest_epoch(self) -> int | None:
        """Smallest epoch of the open rows: replaying from there rebuilds them."""
        return min((self._epochs[row] for row in self._rows.values()), default=None)

    def add(self, events: pl.DataFrame) -> Touched:
        """Add counted events: the grain's dimensions, `minute`, `late_block`, `offset` and the columns of `SUMS`."""
        return self.commit(self.prepare(events))

    def prepare(self, events: pl.DataFrame) -> Prepared:
        """What adding events comes to; nothing is changed. Raises `SumOverflowError`."""
        keys = [*self.dimensions, "minute", "late_block"]
        groups = events.group_by(keys, maintain_order=True).agg(
            pl.col("offset").min(),
            *(pl.col(name).sum() for name in SUMS),
            pl.col("cost_pico_usd").cast(pl.Float64).sum().alias("about"),
        )
        dims = groups.select(self.dimensions).rows()
        names = list(zip(dims, groups["minute"].to_list(), groups["late_block"].to_list(), strict=True))
        increments = groups.select(SUMS).to_numpy().astype(np.int64, copy=False)
        found = np.array([self._rows.get(name, -1) for name in names], dtype=np.int64)
        before = np.where((found >= 0)[:, None], self._values[found], 0)
        after = before + increments
        wrapped = (increments > 0) & (after < before) | (increments < 0) & (after > before)
        over = wrapped.any(axis=1) | (after[:, COST] > MOST)
        over |= (groups["about"].abs() > BEYOND).to_numpy()
        if over.any():
            raise SumOverflowError(_too_much(events, groups.filter(pl.Series(over)).select(keys), before[over, COST]))
        return Prepared(groups, names, found, after)

    def commit(self, prepared: Prepared) -> Touched:
        """Add what was prepared last."""
        rows = self._rows_of(prepared)
        self._values[rows] = prepared.after
        numbers = rows.tolist()
        epochs = np.array([self._epochs[row] for row in numbers], dtype=np.int64)
        late = prepared.groups["late_block"].to_numpy() != ON_TIME
        return Touched(prepared.groups, epochs, late, [self._hashes[row] for row in numbers], prepared.after)

    def _rows_of(self, prepared: Prepared) -> Ints:
        """Row number of each group; new groups open a row named by their first offset."""
        found, offsets = prepared.found.copy(), prepared.groups["offset"].to_numpy()
        for i in np.flatnonzero(found < 0).tolist():
            key = prepared.keys[i]
            found[i] = self._rows[key] = len(self._epochs)
            self._epochs.append(int(offsets[i]))
            self._hashes.append(hash_of(self.grain, key[0]))
        if len(self._epochs) > len(self._values):
            grown = np.zeros((max(len(self._epochs), 2 * len(self._values)), len(SUMS)), dtype=np.int64)
            grown[: len(self._values)] = self._values
            self._values = grown
        return found

    def close(self, watermark: int, allowed_us: int, next_offset: int) -> None:
        """Forget the rows no later record can belong to."""
        passed, block = watermark - allowed_us, next_offset // LATE_BLOCK
        self._keep(lambda minute, late: minute + MINUTE_US > passed if late == ON_TIME else late >= block)

    def close_blocks(self, block: int) -> None:
        """Forget the rows of `late_block`s before `block`: for logs that cut their blocks themselves."""
        self._keep(lambda _, late: late >= block)

    def _keep(self, wanted: Callable[[int, int], bool]) -> None:
        """Keep the rows whose minute and late block are wanted."""
        kept = [(key, row) for key, row in self._rows.items() if wanted(key[1], key[2])]
        if len(kept) == len(self._rows):
            return
        rows = np.fromiter((row for _, row in kept), dtype=np.int64, count=len(kept))
        values = np.zeros((max(1024, len(kept)), len(SUMS)), dtype=np.int64)
        values[: len(kept)] = self._values[rows]
        self._epochs = [self._epochs[row] for _, row in kept]
        self._hashes = [self._hashes[row] for _, row in kept]
        self._rows = {key: i for i, (key, _) in enumerate(kept)}
        self._values = values

    def snapshot(self) -> pl.DataFrame:
        """Open rows as a table; `restore` is the inverse."""
        keys = list(self._rows)
        rows = np.fromiter(self._rows.values(), dtype=np.int64, count=len(keys))
        columns: dict[str, Any] = {
            name: pl.Series([key[0][i] for key in keys], dtype=pl.String) for i, name in enumerate(self.dimensions)
        }
        columns["minute"] = pl.Series([key[1] for key in keys], dtype=pl.Int64)
        columns["late_block"] = pl.Series([key[2] for key in keys], dtype=pl.Int64)
        columns["epoch"] = pl.Series([self._epochs[row] for row in rows.tolist()], dtype=pl.Int64)
        columns |= {name: self._values[rows, i] for i, name in enumerate(SUMS)}
        return pl.DataFrame(columns)

    def restore(self, snapshot: pl.DataFrame) -> None:
        dims = snapshot.select(self.dimensions).rows()
        keys = zip(dims, snapshot["minute"].to_list(), snapshot["late_block"].to_list(), strict=True)
        self._hashes = [hash_of(self.grain, each) for each in dims]
        self._rows = {key: i for i, key in enumerate(keys)}
        self._epochs = snapshot["epoch"].to_list()
        self._values = np.zeros((max(1024, snapshot.height), len(SUMS)), dtype=np.int64)
        self._values[: snapshot.height] = snapshot.select(SUMS).to_numpy()


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
