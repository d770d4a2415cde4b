"""Files of usage as rows that can be imported: checked, owned, encoded."""

import csv
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from spendstream.cli.failures import USAGE, CommandError

if TYPE_CHECKING:
    from loadgen.company import WorldSpec
    from loadgen.traces import BadRow, Row, Trace
    from spendstream.operations.import_source import Bad, Source, UsageRow

SEED = 1
ASSIGNED_TOGETHER = 5_000  # owners are drawn a group at a time: another size would draw others for the same file
LARGEST_RECORD_BYTES = 900_000


def usage_sources(files: list[Path], file_format: str, mapping: Path | None) -> "list[Source]":
    """Every file with its digest and reader; a usage error before anything is sent when one cannot be read."""
    from loadgen.scenarios import DEFAULT_WORLD, ScenarioError, load_world  # noqa: PLC0415
    from loadgen.traces import READERS, UnreadableTrace, open_trace  # noqa: PLC0415
    from spendstream.operations.exports import FORMATS, UnreadableExport  # noqa: PLC0415
    from spendstream.operations.import_source import Source  # noqa: PLC0415

    if file_format not in (*READERS, *FORMATS):
        raise CommandError(f"--format: {file_format!r} is none of {', '.join((*READERS, *FORMATS))}", USAGE)
    if mapping and file_format in FORMATS:
        raise CommandError(f"--map: a {file_format} export says itself who called; leave --map out", USAGE)
    try:
        # Tables and exports say who called; a bare trace, or an explicit --map, gets owners from a world.
        owned = file_format == "csv" or file_format in FORMATS
        world = load_world(mapping or DEFAULT_WORLD) if mapping or not owned else None
        sources: dict[str, Source] = {}
        for path in files:
            if file_format != "csv":  # there a row that is no text is a bad row
                _check_text(path)
            trace = open_trace(path)
            rows = partial(_rows, trace, file_format, world)
            next(rows(), None)  # an unknown header is found before anything is sent
            sources.setdefault(trace.digest, Source(str(path), trace.digest, file_format, rows))
    except (UnreadableTrace, UnreadableExport, ScenarioError) as error:
        raise CommandError(f"{error}; nothing was imported", USAGE) from error
    return list(sources.values())


def _check_text(path: Path) -> None:
    from loadgen.traces.reading import open_text  # noqa: PLC0415

    try:
        with open_text(path) as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: is not UTF-8 text ({error.reason}); nothing was imported", USAGE) from error
    except (OSError, EOFError) as error:
        raise CommandError(
            f"{path}: {getattr(error, 'strerror', None) or error}; nothing was imported", USAGE
        ) from error


def _rows(trace: "Trace", file_format: str, world: "WorldSpec | None") -> "Iterator[UsageRow | Bad]":
    """Rows of a file, encoded, in groups that get their owners together."""
    from loadgen.traces import BadRow  # noqa: PLC0415
    from loadgen.traces.assign import assign  # noqa: PLC0415
    from loadgen.wire import UsageEncoder  # noqa: PLC0415
    from loadgen.world import Assigner  # noqa: PLC0415
    from spendstream.domain.tokens import MISMATCH_REASON  # noqa: PLC0415
    from spendstream.operations.import_source import Bad, UsageRow  # noqa: PLC0415

    encoder = UsageEncoder()
    assigner = Assigner(world, SEED) if world is not None else None
    read = _to_the_end(_read(trace, file_format))
    while group := list(islice(read, ASSIGNED_TOGETHER)):
        yield from (Bad(row.line, row.column, row.problem) for row in group if isinstance(row, BadRow))
        good = [row for row in group if not isinstance(row, BadRow)]
        records = [row.record for row in good]
        if assigner is not None and records:
            records = assign(assigner, records)
        for row, record in zip(good, records, strict=True):
            value = encoder.single(record)
            if len(value) > LARGEST_RECORD_BYTES:
                yield Bad(row.line, "row", f"{len(value)} bytes are too many: at most {LARGEST_RECORD_BYTES}")
            else:
                mismatch = record["attributes"].get(MISMATCH_REASON, "")
                yield UsageRow(row.line, record["org"], record["event_id"], record["occurred_at"], value, mismatch)


def _read(trace: "Trace", file_format: str) -> "Iterator[Row | BadRow]":
    """Rows of a trace, a table or an export, with complete records."""
    from loadgen.traces import READERS, BadRow, Row  # noqa: PLC0415
    from loadgen.wire import defaults  # noqa: PLC0415
    from spendstream.operations.exports import Taken, read_export  # noqa: PLC0415

    if file_format in READERS:
        yield from READERS[file_format](trace)
        return
    blank = defaults()
    for entry in read_export(trace.path, trace.digest, file_format):
        if isinstance(entry, Taken):
            yield Row(entry.line, {**blank, "attributes": {}, **entry.fields})
        else:
            yield BadRow(entry.line, entry.column, entry.problem)


def _to_the_end(rows: "Iterator[Row | BadRow]") -> "Iterator[Row | BadRow]":
    """Rows until the reader itself stumbles; what it stumbled over is a bad row."""
    from loadgen.traces import BadRow  # noqa: PLC0415

    line = 1
    try:
        for row in rows:
            line = row.line
            yield row
    except csv.Error as error:
        yield BadRow(line + 1, "row", f"{error}: this row and everything behind it was not read")
