"""The allow-list of free-form attributes: what is not on it never leaves the event."""

from collections.abc import Collection

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

NAME = "attributes"
#: Characters of a value that are kept.
LONGEST_VALUE = 256
ENTRY = pl.Struct({"key": pl.String, "value": pl.String})


def kept_attributes(column: pa.MapArray, names: Collection[str]) -> pl.Series | None:
    """Of each event the attributes with one of these names, as a list of key and value sorted by key (null: none has
    any); None when no event has one. Costs nothing where events have no attributes at all."""
    first, last = column.offsets[0].as_py(), column.offsets[-1].as_py()
    if first == last or not names:
        return None
    keys = column.keys.slice(first, last - first)
    wanted = pc.is_in(keys, value_set=pa.array(sorted(names), keys.type))
    if not pc.any(wanted).as_py():
        return None
    row = np.repeat(np.arange(len(column)), np.diff(np.asarray(column.offsets)))
    pairs = pl.DataFrame({
        "row": row,
        "key": pl.from_arrow(keys),
        "value": pl.from_arrow(column.items.slice(first, last - first)),
    })  # fmt: skip
    lists = (
        pairs.filter(pl.Series(wanted.to_numpy(zero_copy_only=False)))
        .unique(("row", "key"), keep="last")
        .sort("row", "key")
        .with_columns(pl.col("value").str.slice(0, LONGEST_VALUE))
        .group_by("row", maintain_order=True)
        .agg(pl.struct("key", "value").alias(NAME))
    )
    rows = pl.DataFrame({"row": np.arange(len(column))})
    return rows.join(lists, on="row", how="left", maintain_order="left")[NAME]


def attribute(lists: pl.Series, name: str) -> pl.Series:
    """The value each event has for an attribute, null where it has none."""
    entries = lists.list.eval(pl.element().filter(pl.element().struct.field("key") == name))
    return entries.list.first().struct.field("value")


def map_array(lists: pl.Series) -> pa.MapArray:
    """`kept_attributes` as ClickHouse wants a map: empty where an event has none."""
    sizes = lists.list.len().fill_null(0).to_numpy().astype(np.int32)
    offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(sizes, dtype=np.int32)))
    entries = lists.drop_nulls().explode(empty_as_null=False).struct.unnest()
    return pa.MapArray.from_arrays(
        pa.array(offsets), entries["key"].to_arrow().cast(pa.string()), entries["value"].to_arrow().cast(pa.string())
    )
