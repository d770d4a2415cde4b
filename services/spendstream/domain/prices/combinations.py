"""Distinct (provider, model, service tier, region) of a batch, and columns as codes plus a dictionary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from spendstream.domain.prices.table import Ints

_COLUMNS: Final = ("provider", "model", "service_tier", "region")

Name = tuple[str, str, str, str]  # provider, model, service tier, region; '' for null


@dataclass(frozen=True, slots=True)
class Coded:
    """A string column as `values[codes[row]]`; values are distinct, some may be unused."""

    codes: npt.NDArray[np.int32]
    values: tuple[str, ...]

    def series(self, name: str) -> pl.Series:
        """The column itself."""
        return pl.Series(name, self.values, pl.String).gather(self.codes)


@dataclass(frozen=True, slots=True)
class Combination:
    """What a combination of names means: canonical names, and a lane of the rate table for each part of the day.

    `lanes[i]` holds from `day_starts[i]` microseconds after midnight UTC; nearly always there is one part.
    """

    provider: str
    model: str
    tier: str
    day_starts: tuple[int, ...]
    lanes: tuple[int, ...]


def combinations(usage: pl.DataFrame) -> tuple[Ints, list[Name]]:
    """A code per row, and what each code stands for."""
    grouped = (
        usage.select(pl.col(*_COLUMNS).cast(pl.String).fill_null(""))
        .with_row_index("row")
        .group_by(_COLUMNS)
        .agg(pl.col("row"))
    )
    rows = grouped["row"]
    code = np.empty(len(usage), np.int64)
    code[rows.explode(empty_as_null=False).to_numpy()] = np.repeat(np.arange(len(grouped)), rows.list.len().to_numpy())
    return code, grouped.select(_COLUMNS).rows()


def coded(code: Ints, names: Sequence[str]) -> Coded:
    """The column that holds `names[code[row]]`."""
    index: dict[str, int] = {}
    of_code = np.array([index.setdefault(name, len(index)) for name in names], np.int32)
    return Coded(of_code[code], tuple(index))
