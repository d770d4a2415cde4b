"""From `costs` records to the table of differences engines read."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from spendstream.domain.differences import Differences
from spendstream.domain.rollups import SUMS
from spendstream.runtime.kafka.columns import decode_columns
from spendstream.runtime.kafka.transport import Record

TEXTS = (
    "grain", "org", "team", "project", "environment", "cost_center", "service", "feature", "provider", "model",
    "category", "region", "tier", "user_id", "api_key_id",
)  # fmt: skip
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(TEXTS, pl.String),
    "minute": pl.Int64,
    "source_partition": pl.Int64,
    "late": pl.Boolean,
    **dict.fromkeys(SUMS, pl.Int64),
}


def rows_of(records: Sequence[Record]) -> list[dict[str, Any]]:
    """CostRollup records as dictionaries, `minute` in microseconds; undecodable ones are left out."""
    columns = decode_columns(records, "CostRollup").events
    return columns.with_columns(pl.col("minute").cast(pl.Int64)).to_dicts()


def to_frame(changes: Sequence[tuple[Mapping[str, Any], tuple[int, ...]]]) -> pl.DataFrame:
    """One row per changed cumulative row: its dimensions, minute, and the differences of the sums."""
    columns: dict[str, list[Any]] = {name: [row[name] for row, _ in changes] for name in (*TEXTS, "minute")}
    columns["source_partition"] = [row["source_partition"] for row, _ in changes]
    columns["late"] = [row["late"] for row, _ in changes]
    for i, name in enumerate(SUMS):
        columns[name] = [difference[i] for _, difference in changes]
    return pl.DataFrame(columns, schema=SCHEMA)


def deltas(differences: Differences, records: Sequence[Record]) -> pl.DataFrame:
    """Differences a run of `costs` makes."""
    return to_frame(differences.apply(rows_of(records)))
