"""CSV as programs and spreadsheets write it: UTF-8 or UTF-16, gzipped or not, separated by commas or something else."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from spendstream.domain.billing.columns import known

LONGEST_CELL = 1 << 20
SEPARATORS = (",", ";", "\t", "|")
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"

Row = tuple[int, Sequence[str | None]]


class UnreadableBillError(ValueError):
    """The file cannot be read, or not on from the line it names."""


def opened(path: Path) -> Any:
    """The file's bytes."""
    try:
        return path.open("rb")
    except OSError as error:
        raise UnreadableBillError(f"{path}: {error.strerror}") from error


@contextmanager
def text_of(path: Path) -> Iterator[TextIO]:
    """The file as text; what goes wrong while it is read becomes an `UnreadableBillError`."""
    encoding = _encoding(path)
    try:
        with _unzipping(path)(path, "rt", encoding=encoding, newline="") as file:
            yield file
    except UnicodeError as error:
        line = f":{_undecodable_line(path)}" if encoding == "utf-8-sig" else ""
        raise UnreadableBillError(f"{path}{line}: is not UTF-8 or UTF-16 text") from error
    except (OSError, EOFError) as error:
        raise UnreadableBillError(f"{path}: {error}") from error


def line_count(path: Path) -> int:
    """Lines of the file, every one of them decodable."""
    with text_of(path) as file:
        return sum(1 for _ in file)


def separator(path: Path) -> str:
    """What stands between the cells: that which makes the most FOCUS columns of the header."""
    counts = {each: _columns_between(path, each) for each in SEPARATORS}
    return max(SEPARATORS, key=lambda each: counts[each])


def header(path: Path, between: str) -> Sequence[str] | None:
    """The first row; None of an empty file."""
    with text_of(path) as file:
        try:
            first: Sequence[str] | None = next(_reader(file, between), None)
        except csv.Error as error:
            raise UnreadableBillError(f"{path}:1: {error}") from error
        return first


def rows(path: Path, between: str) -> Iterator[Row]:
    """Rows behind the header that say anything, each with the line it starts at."""
    with text_of(path) as file:
        reader = _reader(file, between)
        next(reader, None)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise UnreadableBillError(
                    f"{path}:{line}: {error}: this row and everything behind it was not read"
                ) from error
            if any(cell.strip() for cell in cells):
                yield line, cells


def _reader(file: TextIO, between: str) -> Any:
    csv.field_size_limit(LONGEST_CELL)
    return csv.reader(file, strict=True, delimiter=between)


def _columns_between(path: Path, between: str) -> int:
    with text_of(path) as file:
        try:
            return known(next(_reader(file, between), []))
        except csv.Error:  # quotes in places where only another separator makes sense of them
            return 0


def _unzipping(path: Path) -> Any:
    with opened(path) as file:
        return gzip.open if file.read(2) == _GZIP else open


def _encoding(path: Path) -> str:
    try:
        with _unzipping(path)(path, "rb") as file:
            head = file.read(4)
    except (OSError, EOFError) as error:
        raise UnreadableBillError(f"{path}: {error}") from error
    if head == _ZIP:
        raise UnreadableBillError(f"{path}: is a zip archive or an Excel workbook: save it as CSV or Parquet")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be" if head[:1] == b"\0" else "utf-8-sig"


def _undecodable_line(path: Path) -> int:
    with _unzipping(path)(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
