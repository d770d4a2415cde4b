"""Settled events as rows of `charges`, and touched roll-up rows as `costs` messages."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from spendstream.domain.rollups import CALLER_DIMENSIONS, GRAINS, OWNER_DIMENSIONS, SUMS, Rollups, Touched, hash_of
from spendstream.domain.tokens import BUCKETS, MISMATCH
from spendstream.runtime.clickhouse.money import usd_array
from spendstream.runtime.kafka import attributes
from spendstream.runtime.kafka.columns import encode_columns
from spendstream.runtime.kafka.publisher import Message

#: Columns of `charges` that a batch without anything in them leaves out; the table knows what they are then.
MOSTLY_EMPTY: Final = (MISMATCH, "reported_provider", "reported_model")


def charges(counted: pl.DataFrame, incarnation: str, partition: int) -> pa.Table:
    """One row per counted event, columns named as in the table; those nearly always empty only where they are not."""
    rows = counted.select(
        "org", "event_id",
        pl.col("occurred_at").cast(pl.Datetime("us", "UTC")).alias("ts"),
        pl.col("appended_ms").cast(pl.Datetime("ms", "UTC")).alias("appended_at"),
        "team", "project", "environment", "cost_center", "service", "feature", "user_id", "api_key_id",
        "provider", "model", "operation", "category", "region", "tier",
        pl.col("status_name").alias("status"), "unpriced_reason", pl.col("status").alias("call_status"),
        "owner_source", "owner_reason", "price_id", "requests",
        pl.col("input_total_tokens").alias("input_tokens"), pl.col("output_total_tokens").alias("output_tokens"),
        *(f"{bucket}_tokens" for bucket in BUCKETS),
        "latency_ms", "cache_hit", "max_tokens", "prompt_hash", "session_id", "trace_id",
        pl.lit(incarnation).alias("incarnation"), pl.lit(partition, dtype=pl.UInt16).alias("partition"),
        "offset", pl.col("item").cast(pl.Int32), *(name for name in MOSTLY_EMPTY if name in counted.columns),
    )  # fmt: skip
    table: pa.Table = rows.to_arrow()
    reported = counted["reported_cost_pico_usd"]
    missing = reported.is_null().to_numpy()
    table = table.append_column("cost_usd", usd_array(counted["cost_pico_usd"].to_numpy()))
    table = table.append_column("reported_cost_usd", usd_array(reported.fill_null(0).to_numpy(), missing))
    if attributes.NAME in counted.columns:
        table = table.append_column(attributes.NAME, attributes.map_array(counted[attributes.NAME]))
    return table


def by_month(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each month of `ts`: one insert block must not touch two partitions of the table."""
    if not table.num_rows:
        return
    times = pl.Series(pl.from_arrow(table["ts"]))
    ends = pl.Series([times.min(), times.max()], dtype=times.dtype).dt.strftime("%Y%m").unique().to_list()
    if len(ends) == 1:  # nearly always
        yield ends[0], table
        return
    months = times.dt.strftime("%Y%m")
    for month in sorted(months.unique().to_list()):
        yield month, table.filter(pa.array((months == month).to_numpy()))


def cost_messages(
    rollups: Rollups, touched: Touched, last_offset: int, incarnation: str, partition: int
) -> list[tuple[str, Message]]:
    """`costs` records of the touched rows, each with its organisation (which decides the partition)."""
    if not touched.hashes:
        return []
    rows = touched.groups.select(
        *rollups.dimensions, "minute",
        *(pl.Series(name, touched.values[:, i]) for i, name in enumerate(SUMS)),
        pl.Series("epoch", touched.epochs), pl.Series("late", touched.late),
    )  # fmt: skip
    return row_messages(rollups.grain, rows, touched.hashes, last_offset, incarnation, partition)


def row_messages(
    grain: str, changed: pl.DataFrame, hashes: list[bytes], last_offset: int, incarnation: str, partition: int
) -> list[tuple[str, Message]]:
    """The same of rows as a table: the grain's dimensions, `minute`, `epoch`, `late` and `SUMS`; one it lacks is 0."""
    constants = {"grain": grain, "incarnation": incarnation}
    positions = {"source_partition": partition, "last_offset": last_offset}
    rows = changed.with_columns(
        *(pl.lit("").alias(name) for name in {*OWNER_DIMENSIONS, *CALLER_DIMENSIONS} - set(GRAINS[grain])),
        *(pl.lit(0, dtype=pl.Int64).alias(name) for name in set(SUMS) - set(changed.columns)),
        *(pl.lit(value).alias(name) for name, value in constants.items()),
        *(pl.lit(value, dtype=pl.Int64).alias(name) for name, value in positions.items()),
    )
    found = zip(hashes, encode_columns("CostRollup", rows), strict=True)
    return list(zip(changed["org"].to_list(), found, strict=True))


def hashes_of(grain: str, rows: pl.DataFrame) -> list[bytes]:
    """`hash_of` the dimensions of each row."""
    dimensions = list(GRAINS[grain])
    alike = rows.select(dimensions).with_row_index("row").group_by(dimensions).agg(pl.col("row"))
    hashes = [hash_of(grain, names) for names in alike.select(dimensions).iter_rows()]
    found = np.empty(rows.height, dtype=object)
    found[alike["row"].explode().to_numpy()] = np.repeat(np.array(hashes, dtype=object), alike["row"].list.len())
    each: list[bytes] = found.tolist()
    return each
