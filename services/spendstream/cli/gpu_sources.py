"""Files of GPU readings as records that can be published."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from spendstream.cli.failures import USAGE, CommandError

if TYPE_CHECKING:
    from spendstream.domain.gpu.dcgm import DcgmReader
    from spendstream.domain.gpu.lines import BadLine

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class GpuFile:
    """One file. `records` goes through it once; then `readings` and the lines that were left out are known."""

    file: str
    read: "Callable[[], Iterator[dict[str, Any] | BadLine]]"
    readings: int = 0
    bad: "list[BadLine]" = field(default_factory=list)

    def records(self) -> Iterator[dict[str, Any]]:
        """The readings; those of a scrape recording are never all in memory."""
        for each in self.read():
            if isinstance(each, dict):
                self.readings += 1
                yield each
            else:
                self.bad.append(each)


def interval_option(text: str) -> int:
    """Milliseconds of `--interval`: 500ms, 30s, 1m, 1h."""
    found = re.fullmatch(r"(\d+)(ms|s|m|h)", text)
    if found is None or int(found[1]) == 0:
        raise CommandError(f"--interval: {text!r} is no length of time such as 30s", USAGE)
    return int(found[1]) * UNITS_MS[found[2]]


def at_option(text: str | None) -> int | None:
    """Microseconds of `--at`."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--at: {text!r} is no RFC 3339 time", USAGE) from error
    if moment.tzinfo is None:
        raise CommandError(f"--at: {text} needs an offset, for example {text}Z", USAGE)
    return (moment - EPOCH) // timedelta(microseconds=1)


def dcgm_files(files: list[Path], at: int | None, interval_ms: int, org: str, time_slices: int | None) -> list[GpuFile]:
    """Scrapes of a DCGM exporter, one after another; without `at` each file starts when it was last written."""
    from spendstream.domain.gpu.dcgm import DcgmReader  # noqa: PLC0415

    reader = DcgmReader(at or 0, interval_ms, org, time_slices)
    for path in files:
        _opened(path).close()
    return [GpuFile(str(path), partial(_scrapes, path, reader, at is None)) for path in files]


def _scrapes(path: Path, reader: "DcgmReader", by_file_time: bool) -> "Iterator[dict[str, Any] | BadLine]":
    if by_file_time:
        reader.at_us = path.stat().st_mtime_ns // 1_000
    with _opened(path) as lines:
        try:
            yield from reader.read(lines)
        except UnicodeDecodeError as error:
            raise CommandError(
                f"{path}: is not UTF-8 text ({error.reason}); what comes before counts", USAGE
            ) from error


def table_files(files: list[Path], org: str | None) -> list[GpuFile]:
    """Tables of readings. `org`: for rows that name none."""
    from spendstream.domain.gpu.table import read_table, wrong_header  # noqa: PLC0415

    found = []
    for path in files:
        reader = csv.DictReader(_text(path).splitlines(), restval=None, strict=True)
        if problem := wrong_header(reader.fieldnames or ()):
            raise CommandError(f"{path}: {problem}; nothing was imported", USAGE)
        rows = ((reader.line_num, {**row, "org": row.get("org") or org}) for row in reader)
        try:
            found.append(GpuFile(str(path), partial(iter, list(read_table(rows)))))
        except csv.Error as error:
            raise CommandError(f"{path}:{reader.line_num}: {error}; nothing was imported", USAGE) from error
    return found


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}; nothing was imported", USAGE) from error


def _text(path: Path) -> str:
    with _opened(path) as opened:
        try:
            return opened.read()
        except UnicodeDecodeError as error:
            raise CommandError(f"{path}: is not UTF-8 text ({error.reason}); nothing was imported", USAGE) from error
