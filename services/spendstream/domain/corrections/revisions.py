"""Which corrections count: the first of each charge and revision, in the order of the log.

A correction is worked out from a charge as it stands at revision n and published as its revision n + 1. Whoever works
out the same charge at the same time, or again because a run was cut short, says n + 1 as well, and is void.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CHARGE: Final = ("incarnation", "source_partition", "source_offset", "item")
SCHEMA: Final = {
    "incarnation": pl.String, "source_partition": pl.Int64, "source_offset": pl.Int64, "item": pl.Int64,
    "revision": pl.Int64,
}  # fmt: skip
#: Places of a member of a batch in the number of a charge: more than a batch may have members.
ITEM_BITS: Final = 10
ITEMS: Final = 1 << ITEM_BITS
LAST_OFFSET: Final = 2 ** (63 - ITEM_BITS) - 1


class Revisions:
    """Last revision that counted, per corrected charge; 16 bytes a charge."""

    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], _Place] = {}

    def __len__(self) -> int:
        return sum(place.charges.size for place in self._places.values())

    def accept(self, corrections: pl.DataFrame) -> pl.DataFrame:
        """The corrections of a run that count, in log order; they are remembered.

        A revision beyond the next one counts: what lies between was on a log that is gone. Where no charge can stand,
        nothing is corrected.
        """
        counts = np.zeros(corrections.height, dtype=bool)
        possible = pl.col("item").is_between(-1, ITEMS - 2) & pl.col("source_offset").is_between(0, LAST_OFFSET)
        rows = corrections.select(*CHARGE, "revision").with_row_index("row").filter(possible)
        for name, mine in rows.partition_by("incarnation", "source_partition", as_dict=True).items():
            place = self._places.setdefault(name, _Place())
            counts[mine["row"].to_numpy()] = place.accept(_charges(mine), mine["revision"].to_numpy())
        return corrections.filter(pl.Series(counts))

    def snapshot(self) -> pl.DataFrame:
        """The state as a table; `restore` is the inverse."""
        parts = [
            pl.DataFrame(
                {
                    "source_offset": place.charges >> ITEM_BITS, "item": (place.charges & (ITEMS - 1)) - 1,
                    "revision": place.revisions,
                }
            ).select(pl.lit(name[0]).alias("incarnation"), pl.lit(name[1]).alias("source_partition"), pl.all())
            for name, place in self._places.items()
        ]  # fmt: skip
        return pl.concat([pl.DataFrame(schema=SCHEMA), *(part.cast(pl.Schema(SCHEMA)) for part in parts)])

    def restore(self, snapshot: pl.DataFrame) -> None:
        self._places = {}
        self.accept(snapshot.select(list(SCHEMA)).cast(pl.Schema(SCHEMA)))


def _charges(rows: pl.DataFrame) -> Ints:
    """One number for each charge of a partition."""
    numbers: Ints = (rows["source_offset"].to_numpy() << ITEM_BITS) + rows["item"].to_numpy() + 1
    return numbers


class _Place:
    """The charges of one partition that were corrected, in order, each with its last revision."""

    def __init__(self) -> None:
        self.charges: Ints = np.empty(0, dtype=np.int64)
        self.revisions: Ints = np.empty(0, dtype=np.int64)

    def accept(self, charges: Ints, revisions: Ints) -> Bools:
        counts = revisions > np.maximum(self._known(charges), _earlier(charges, revisions))
        self._remember(charges[counts], revisions[counts])
        return counts

    def _known(self, charges: Ints) -> Ints:
        if not self.charges.size:
            return np.zeros(charges.size, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.charges, charges), self.charges.size - 1)
        return np.where(self.charges[at] == charges, self.revisions[at], 0)

    def _remember(self, charges: Ints, revisions: Ints) -> None:
        both, last = np.concatenate([self.charges, charges]), np.concatenate([self.revisions, revisions])
        order = np.argsort(both, kind="stable")  # what came later stands later, and is the greater revision
        both, last = both[order], last[order]
        newest = np.append(both[1:] != both[:-1], True)[: both.size]
        self.charges, self.revisions = both[newest], last[newest]


def _earlier(charges: Ints, revisions: Ints) -> Ints:
    """The largest revision of the same charge earlier in a run."""
    if np.unique(charges).size == charges.size:
        return np.zeros(charges.size, dtype=np.int64)
    run = pl.DataFrame({"charge": charges, "revision": revisions})
    before = pl.col("revision").cum_max().shift(1).over("charge").fill_null(0)
    return run.select(before).to_series().to_numpy()
