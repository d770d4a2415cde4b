"""Bills as rows of text: CSV (also gzipped) and Parquet, by what is in the file and not by its name."""

import csv
import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

Row = tuple[int, Sequence[str | None]]
LONGEST_CELL = 1 << 20
BATCH_ROWS = 10_000


class UnreadableBillError(ValueError):
    """The file cannot be read at all."""


@dataclass(frozen=True)
class BillFile:
    """One file, read again each time it is asked for its rows."""

    path: Path

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        with self._open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def format(self) -> str:
        """csv or parquet."""
        with self._open() as file:
            return "parquet" if file.read(4) == b"PAR1" else "csv"

    @cached_property
    def header(self) -> Sequence[str]:
        """Names of the columns."""
        if self.format == "parquet":
            return [str(name) for name in self._parquet().schema_arrow.names]
        with self._text() as file:
            cells: Sequence[str] | None = next(self._csv(file), None)
        if cells is None:
            raise UnreadableBillError(f"{self.path}: is empty")
        return cells

    @cached_property
    def row_count(self) -> int:
        """Rows; in a CSV roughly: a quoted line break counts as one."""
        if self.format == "parquet":
            return int(self._parquet().metadata.num_rows)
        with self._text() as file:
            return max(0, sum(1 for _ in file) - 1)

    def rows(self) -> Iterator[Row]:
        """Every row with its place: the line it starts at in a CSV (the header is line 1), its number in Parquet."""
        yield from self._parquet_rows() if self.format == "parquet" else self._csv_rows()

    def _csv_rows(self) -> Iterator[Row]:
        with self._text() as file:
            reader = self._csv(file)
            next(reader, None)
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    raise UnreadableBillError(
                        f"{self.path}:{line}: {error}: this row and everything behind it was not read"
                    ) from error
                if cells:
                    yield line, cells

    def _parquet_rows(self) -> Iterator[Row]:
        number = 0
        for batch in self._parquet().iter_batches(BATCH_ROWS):
            columns = [_texts(column) for column in batch.columns]
            for cells in zip(*columns, strict=True):
                number += 1
                yield number, cells

    def _open(self) -> Any:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise UnreadableBillError(f"{self.path}: {error.strerror}") from error

    def _text(self) -> TextIO:
        with self._open() as file:
            zipped = file.read(2) == b"\x1f\x8b"
        opened: Any = gzip.open if zipped else open
        try:
            found: TextIO = opened(self.path, "rt", encoding="utf-8-sig", newline="")
            while found.read(1 << 20):
                pass
            found.seek(0)
        except UnicodeDecodeError as error:
            raise UnreadableBillError(f"{self.path}: is not UTF-8 text ({error.reason})") from error
        except (OSError, EOFError) as error:
            raise UnreadableBillError(f"{self.path}: {error}") from error
        return found

    @staticmethod
    def _csv(file: TextIO) -> Any:
        csv.field_size_limit(LONGEST_CELL)
        return csv.reader(file, strict=True)

    def _parquet(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise UnreadableBillError(f"{self.path}: is not readable Parquet: {error}") from error


def _texts(column: pa.Array) -> list[str | None]:
    """Cells as a CSV of the same bill would have them."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return [None if value is None else _text(value) for value in column.to_pylist()]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float):
        # A double stands for the shortest decimal that it is nearest to: that is what its writer had.
        return repr(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list) and all(isinstance(each, tuple) for each in value):
        return json.dumps(dict(value), default=str, ensure_ascii=False)
    if isinstance(value, list | dict):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
