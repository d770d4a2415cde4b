"""Parquet of any types as the text a CSV of the same bill would have."""

import json
import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spendstream.operations.bill_text import Row, UnreadableBillError

BATCH_ROWS = 10_000


def header(path: Path) -> Sequence[str]:
    """Names of the columns."""
    return [str(name) for name in _open(path).schema_arrow.names]


def row_count(path: Path) -> int:
    """Rows, as the file says."""
    return int(_open(path).metadata.num_rows)


def rows(path: Path) -> Iterator[Row]:
    """Rows that say anything, each with its number."""
    number = 0
    for batch in _open(path).iter_batches(BATCH_ROWS):
        columns = [_texts(column) for column in batch.columns]
        for cells in zip(*columns, strict=True):
            number += 1
            if any(cell and cell.strip() for cell in cells):
                yield number, cells


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise UnreadableBillError(f"{path}: is not readable Parquet: {error}") from error


def _texts(column: pa.Array) -> list[str | None]:
    """Cells of a column; what is not a number (NaN) is null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        # As text: the shortest decimal that is nearest to it among values of its own precision.
        return [None if value in (None, "nan") else value for value in column.cast(pa.string()).to_pylist()]
    return [None if value is None else _text(value) for value in column.to_pylist()]


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float):
        # A double stands for the shortest decimal that it is nearest to: that is what its writer had.
        return None if math.isnan(value) else repr(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list) and value and all(isinstance(each, tuple) for each in value):
        return json.dumps(dict(value), default=str, ensure_ascii=False)
    if isinstance(value, list | dict):
        return json.dumps(value, default=str, ensure_ascii=False) if value else None
    return str(value)
