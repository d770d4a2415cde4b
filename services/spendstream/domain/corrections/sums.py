"""Corrections summed up: cumulative rows per minute and dimensions, a block of the log at a time.

A row is named by the position of its first correction. Positions count corrections, not records, so that a block is as
short as one of usage: its rows fit memory and 64 bits, and what falls into one minute and owner mostly meets in it.
"""

from typing import Final

import polars as pl

from spendstream.domain.rollups import GRAINS, MINUTE_US

#: Correction i of the record at an offset is at position offset × POSITIONS + i: more than a batch has members.
POSITIONS: Final = 1 << 10
#: What corrections move; they change money and statuses, no counts of anything else.
MOVED: Final = ("priced_events", "partial_events", "unpriced_events", "cost_pico_usd", "error_cost_pico_usd")


class CorrectionSums:
    """Rows of one grain in the running block; `block` numbers blocks, and rows that are kept apart within one."""

    def __init__(self, grain: str) -> None:
        self.grain = grain
        self._dimensions = list(GRAINS[grain])
        keys = {**dict.fromkeys(self._dimensions, pl.String), "minute": pl.Int64, "block": pl.Int64}
        self._keys = list(keys)
        self._rows = pl.DataFrame(schema={**keys, "epoch": pl.Int64, **dict.fromkeys(MOVED, pl.Int64)})

    def __len__(self) -> int:
        return self._rows.height

    def add(self, corrections: pl.DataFrame) -> pl.DataFrame:
        """Add corrections that count; returns the rows they change: dimensions, `minute`, `epoch`, sums of `MOVED`.

        `corrections` has the dimensions, `occurred_at`, `position`, `block`, `call_status` and what they move.
        """
        failed = pl.col("call_status") != "ok"
        events = corrections.with_columns(
            (pl.col("occurred_at") // MINUTE_US * MINUTE_US).alias("minute"),
            pl.when(failed).then(pl.col("cost_pico_usd")).otherwise(0).alias("error_cost_pico_usd"),
        )
        rows = self._summed(events.rename({"position": "epoch"}), pl.lit(True).alias("changed"))
        if self._rows.height and rows.height:
            before = self._rows.with_columns(pl.lit(False).alias("changed"))
            rows = self._summed(pl.concat([before, rows]), pl.col("changed").any())
        elif not rows.height:
            return rows.drop("block", "changed")
        self._rows = rows.drop("changed")
        return rows.filter("changed").drop("block", "changed")

    def _summed(self, rows: pl.DataFrame, changed: pl.Expr) -> pl.DataFrame:
        """Rows of the same keys together; a row is named by its first position."""
        sums = (pl.col("epoch").min(), pl.col(MOVED).sum(), changed)
        return rows.group_by(self._keys, maintain_order=True).agg(*sums)

    def close_blocks(self, block: int) -> None:
        """Forget the rows of blocks before `block`."""
        if self._rows.height:
            self._rows = self._rows.filter(pl.col("block") >= block)

    def snapshot(self) -> pl.DataFrame:
        """The rows as a table; `restore` is the inverse."""
        return self._rows

    def restore(self, snapshot: pl.DataFrame) -> None:
        self._rows = snapshot.select(self._rows.columns).cast(self._rows.schema)
