"""Cumulative rows: sums per dimensions and minute that are a pure function of a prefix of one log partition.

A row stays in memory until the partition's watermark (largest occurred_at so far minus the
allowed lateness) has passed its minute. A later record for such a minute is late: it opens a row of its own, named by
its own offset, which lives until the log crosses the next multiple of `LATE_BLOCK` offsets. Sums of a minute are the
sum over its rows. Whoever reads them keeps the last value of each (`differences.py`).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
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
