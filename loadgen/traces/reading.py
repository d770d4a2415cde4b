"""What every reader shares: rows good and bad, and the identity of a row in a file."""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TextIO

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Where traces begin that only say how long after their start something happened.
TRACE_START = datetime(2024, 1, 1, tzinfo=UTC)


class UnreadableTrace(ValueError):
    """The file as a whole cannot be read: missing, no header, a column of the format is absent."""


@dataclass(frozen=True, slots=True)
class Row:
    """A complete `Usage` record from line `line` (1 is the header)."""

    line: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """Line, column and what is wrong with it."""

    line: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.column}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Trace:
    """A file and its digest: the same content anywhere gives the same event ids."""

    path: Path
    digest: str

    def event_id(self, line: int) -> str:
        """Identity of a row that brings none: hash of (file digest, line)."""
        return hashlib.sha256(f"{self.digest}:{line}".encode()).hexdigest()[:32]


def open_trace(path: Path) -> Trace:
    """Digest a file; `UnreadableTrace` when it cannot be opened."""
    try:
        with path.open("rb") as file:
            return Trace(path, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise UnreadableTrace(f"{path}: {error.strerror}") from None


def open_text(path: Path) -> TextIO:
    """A text file, gzipped or not, without its byte order mark."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="", encoding="utf-8-sig")
    return path.open(newline="", encoding="utf-8-sig")


def has_undecodable(text: str) -> bool:
    """True where bytes were no UTF-8 (read with `surrogateescape`)."""
    return any("\udc80" <= letter <= "\udcff" for letter in text)


def micros_from_start(text: str, unit: int, start: int | None = None) -> int:
    """Microseconds of a time that counts `unit`s of so many microseconds from TRACE_START (or from `start`)."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if not number.is_finite() or number < 0 or number.adjusted() > 11:
        raise ValueError(f"{text}: must be from 0 to 10^12")
    begin = (TRACE_START - EPOCH) // timedelta(microseconds=1) if start is None else start
    return begin + int(number * unit)


def micros_of(text: str) -> int:
    """Microseconds of an RFC 3339 or `YYYY-MM-DD HH:MM:SS.fffffff` text; no offset means UTC. `ValueError` otherwise.

    Digits beyond the microsecond are cut off.
    """
    head, dot, tail = text.strip().partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text.strip()!r} is no time: expected one like 2026-03-01T12:00:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(microseconds=1)


def count_of(text: str) -> int:
    """A whole number from 0 to 2^63 - 1; `ValueError` otherwise."""
    try:
        count = int(text)
    except ValueError:
        count = -1
    if not 0 <= count < 2**63:
        raise ValueError(f"{text[:40]!r} is no count: expected a whole number from 0 to 2^63 - 1")
    return count


def bad_row(line: int, faults: Sequence[tuple[str, str]]) -> BadRow:
    """One bad row with all its (column, problem)s: it stands at the first, the others follow in its text."""
    (column, problem), *others = faults
    return BadRow(line, column, "; ".join([problem, *(f"{name}: {what}" for name, what in others)]))
