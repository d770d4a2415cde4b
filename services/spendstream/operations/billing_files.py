"""Bills as rows of text: CSV (also gzipped) and Parquet, by what is in the file and not by its name."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from spendstream.operations import bill_parquet, bill_text
from spendstream.operations.bill_text import Row, UnreadableBillError


@dataclass(frozen=True)
class BillFile:
    """One file, read again each time it is asked for its rows."""

    path: Path

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        with bill_text.opened(self.path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def format(self) -> str:
        """csv or parquet."""
        with bill_text.opened(self.path) as file:
            return "parquet" if file.read(4) == b"PAR1" else "csv"

    @cached_property
    def separator(self) -> str | None:
        """What stands between the cells of a CSV."""
        return None if self.format == "parquet" else bill_text.separator(self.path)

    @cached_property
    def header(self) -> Sequence[str]:
        """Names of the columns."""
        if self.separator is None:
            return bill_parquet.header(self.path)
        _ = self.row_count  # reads it all: what cannot be decoded is said before anything is sent
        cells = bill_text.header(self.path, self.separator)
        if cells is None:
            raise UnreadableBillError(f"{self.path}: is empty")
        return cells

    @cached_property
    def row_count(self) -> int:
        """Rows; in a CSV roughly: a quoted line break counts as one."""
        if self.separator is None:
            return bill_parquet.row_count(self.path)
        return max(0, bill_text.line_count(self.path) - 1)

    def rows(self) -> Iterator[Row]:
        """Every row with its place: the line it starts at in a CSV (the header is line 1), its number in Parquet."""
        if self.separator is None:
            yield from bill_parquet.rows(self.path)
        else:
            yield from bill_text.rows(self.path, self.separator)


__all__ = ["BillFile", "UnreadableBillError"]
