"""A report as JSON, CSV or Parquet, on the terminal or in a file; decimals keep all their digits."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spendstream.cli.failures import USAGE, CommandError, errors
from spendstream.cli.output import plain

if TYPE_CHECKING:
    from spendstream.operations.reports.selection import Table

USD_PRECISION, USD_SCALE = 38, 12


def check_output(file_format: str, output: Path | None) -> None:
    """A usage error before anything is asked, where the result would have nowhere to go."""
    if file_format == "table" and output is not None:
        raise CommandError("--output: a table is for the terminal; choose another --format for a file", USAGE)
    if file_format == "parquet" and output is None and sys.stdout.isatty():
        raise CommandError("--format parquet: say where with --output FILE, or redirect it", USAGE)
    if output is not None and not output.parent.is_dir():
        raise CommandError(f"--output: {output.parent} is no folder", USAGE)


def write_table(table: "Table", document: dict[str, Any], file_format: str, output: Path | None) -> None:
    """The rows as csv or parquet, or the whole document as json."""
    if file_format == "json":
        pieces = [(json.dumps(document, default=plain, indent=2, ensure_ascii=False) + "\n").encode()]
    elif file_format == "csv":
        pieces = [csv_text(table.columns, table.rows).encode()]
    else:
        pieces = [parquet_bytes(table.columns, table.rows)]
    write_pieces(pieces, output)


def write_pieces(pieces: Iterable[bytes], output: Path | None) -> None:
    """To the terminal, or to a file that appears whole or not at all."""
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        unfinished.replace(output)
    except OSError as error:
        raise CommandError(f"--output: {error}", USAGE) from error
    finally:
        unfinished.unlink(missing_ok=True)
    errors.print(f"wrote {output}", markup=False)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """RFC 4180 with a header; null is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if value is None else plain(value) for value in row])
    return out.getvalue()


def parquet_bytes(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """One row group; amounts are decimal128(38, 12), also where there are none."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    out = io.BytesIO()
    pq.write_table(pa.table({name: _array(name, [row[i] for row in rows]) for i, name in enumerate(columns)}), out)
    return out.getvalue()


def _array(name: str, values: Sequence[Any]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    decimals = name.endswith("_usd") or any(isinstance(value, Decimal) for value in values)
    return pa.array(values, pa.decimal128(USD_PRECISION, USD_SCALE) if decimals else None)
