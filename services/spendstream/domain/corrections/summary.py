"""A diff as people read it: per model, team and price, how many events, what they cost before and after."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import polars as pl

BY: Final = (
    "org", "provider", "model", "team", "status_before", "status_after", "price_id_before", "price_id_after",
)  # fmt: skip


class Group(NamedTuple):
    """Charges that change alike. Money in pico-dollars, any size."""

    org: str
    provider: str
    model: str
    team: str
    status_before: str
    status_after: str
    price_id_before: str
    price_id_after: str
    events: int
    before: int
    delta: int

    @property
    def after(self) -> int:
        return self.before + self.delta


class Summary:
    """Sums of `differences`, exact beyond 64 bits, added to a chunk at a time."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], list[int]] = {}

    def add(self, changes: pl.DataFrame) -> None:
        """Count the changes of another chunk."""
        sums = changes.group_by(BY).agg(
            pl.len().cast(pl.Int64).alias("events"),
            pl.col("cost_before_pico_usd", "cost_pico_usd").cast(pl.Int128).sum(),
        )
        for row in sums.iter_rows():
            known = self._sums.setdefault(row[: len(BY)], [0, 0, 0])
            known[:] = [old + int(new) for old, new in zip(known, row[len(BY) :], strict=True)]

    def groups(self) -> Iterator[Group]:
        """The groups, the largest change first."""
        for key, (events, before, delta) in sorted(self._sums.items(), key=lambda item: (-abs(item[1][2]), item[0])):
            yield Group._make((*key, events, before, delta))

    @property
    def total(self) -> tuple[int, int, int]:
        """Events, pico-dollars before, and what is added."""
        events, before, delta = (sum(sums[i] for sums in self._sums.values()) for i in range(3))
        return events, before, delta
