"""Files of GPU readings as records that can be published."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spendstream.cli.failures import USAGE, CommandError

if TYPE_CHECKING:
    from spendstream.domain.gpu.dcgm import DcgmReader
    from spendstream.domain.gpu.lines import BadLine

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class GpuFile:
    """The readings of one file, and the lines that were left out."""

    file: str
    records: list[dict[str, Any]] = field(default_factory=list)
    bad: "list[BadLine]" = field(default_factory=list)


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
    return [_dcgm_file(path, reader, at is None) for path in files]


def _dcgm_file(path: Path, reader: "DcgmReader", by_file_time: bool) -> GpuFile:
    text = _text(path)
    if by_file_time:
        reader.at_us = path.stat().st_mtime_ns // 1_000
    return _sorted_out(path, reader.read(text.splitlines()))


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
            found.append(_sorted_out(path, read_table(rows)))
        except csv.Error as error:
            raise CommandError(f"{path}:{reader.line_num}: {error}; nothing was imported", USAGE) from error
    return found


def _sorted_out(path: Path, read: "Iterator[dict[str, Any] | BadLine]") -> GpuFile:
    found = GpuFile(str(path))
    for each in read:
        if isinstance(each, dict):
            found.records.append(each)
        else:
            found.bad.append(each)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: is not UTF-8 text ({error.reason}); nothing was imported", USAGE) from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}; nothing was imported", USAGE) from error
