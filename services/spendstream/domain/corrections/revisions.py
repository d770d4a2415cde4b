"""Which corrections count: the first of each charge and revision, in the order of the log.

A correction is worked out from a charge as it stands at revision n and published as its revision n + 1. Whoever works
out the same charge at the same time, or again because a run was cut short, says n + 1 as well, and is void.
"""

from typing import Final

import polars as pl

CHARGE: Final = ("incarnation", "source_partition", "source_offset", "item")
SCHEMA: Final = {
    "incarnation": pl.String, "source_partition": pl.Int64, "source_offset": pl.Int64, "item": pl.Int64,
    "revision": pl.Int64,
}  # fmt: skip


class Revisions:
    """Last revision that counted, per corrected charge; about 60 bytes a charge."""

    def __init__(self) -> None:
        self._last = pl.DataFrame(schema=SCHEMA)

    def __len__(self) -> int:
        return self._last.height

    def accept(self, corrections: pl.DataFrame) -> pl.DataFrame:
        """The corrections of a run that count, in log order; they are remembered.

        A revision beyond the next one counts: what lies between was on a log that is gone.
        """
        if corrections.is_empty():
            return corrections
        known = self._last.rename({"revision": "known"})
        before = pl.max_horizontal(
            pl.col("known").fill_null(0), pl.col("revision").cum_max().shift(1).over(CHARGE).fill_null(0)
        )
        judged = corrections.join(known, on=CHARGE, how="left", maintain_order="left")
        accepted = judged.filter(pl.col("revision") > before).drop("known")
        self._remember(accepted)
        return accepted

    def _remember(self, accepted: pl.DataFrame) -> None:
        newest = accepted.group_by(CHARGE).agg(pl.col("revision").max()).select(list(SCHEMA))
        self._last = pl.concat([self._last.join(newest, on=CHARGE, how="anti"), newest])

    def snapshot(self) -> pl.DataFrame:
        """The state as a table; `restore` is the inverse."""
        return self._last

    def restore(self, snapshot: pl.DataFrame) -> None:
        self._last = snapshot.select(list(SCHEMA)).cast(pl.Schema(SCHEMA))
