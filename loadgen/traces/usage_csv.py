"""Our own table form: a header of `Usage` field names (examples/usage.csv). Columns may be left out and reordered."""

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any

from loadgen.traces.reading import BadRow, Row, Trace, UnreadableTrace, bad_row, count_of, has_undecodable, micros_of
from loadgen.wire import defaults
from spendstream.schemas import record_schema

REQUIRED = ("occurred_at", "service", "provider", "model")
Record = dict[str, Any]
#: A cell longer than any record is one bad row; csv's own limit (128 KiB) would end the file there.
LONGEST_CELL = 1 << 28
TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def read_usage_csv(trace: Trace) -> Iterator[Row | BadRow]:
    """Rows of the table; a row without `event_id` gets one from file digest and line. `UnreadableTrace` for a header
    with an unknown or missing column."""
    blank = defaults()
    csv.field_size_limit(LONGEST_CELL)
    with trace.path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = csv.reader(file)
        header = [name.strip() for name in next(lines, [])]
        number = lines.line_num
        columns = _columns(trace, header)
        for values in lines:
            before, number = number, lines.line_num
            if len(values) > 0 and len(values) != len(columns):
                yield BadRow(number, "row", _wrong_width(len(values), len(columns), before + 1, number))
            elif values:
                yield _row(number, columns, values, {**blank, "event_id": trace.event_id(number)})


def _columns(trace: Trace, header: list[str]) -> dict[str, Callable[[str], Any]]:
    """How each column is read, in the order of the header."""
    if any(has_undecodable(name) for name in header):
        raise UnreadableTrace(f"{trace.path}: line 1: is not UTF-8 text")
    types = {field["name"]: field["type"] for field in record_schema("Usage")["fields"]}
    unknown = [name for name in header if name not in types]
    missing = [name for name in REQUIRED if name not in header]
    if unknown or missing or len(set(header)) < len(header):
        problem = f"unknown column {', '.join(unknown)}" if unknown else f"missing column {', '.join(missing)}"
        raise UnreadableTrace(f"{trace.path}: line 1: {problem if unknown or missing else 'a column appears twice'}")
    return {name: _reader(name, types[name]) for name in header}


def _reader(name: str, avro_type: Any) -> Callable[[str], Any]:
    """How the text of one column becomes the field's value; `ValueError` says what is wrong."""
    if isinstance(avro_type, list):
        return _reader(name, avro_type[1])
    if name == "occurred_at":
        return micros_of
    kind = avro_type["type"] if isinstance(avro_type, dict) else avro_type
    readers: dict[str, Callable[[str], Any]] = {
        "enum": lambda text: _one_of(avro_type["symbols"], text),
        "map": _attributes,
        "boolean": lambda text: TRUTHS[_one_of(list(TRUTHS), text.lower())],
        "string": str,
        "long": count_of,
    }
    return readers[kind]


def _wrong_width(found: int, columns: int, first: int, last: int) -> str:
    where = f": a quote opened in line {first} swallowed what follows" if last > first else ""
    return f"{found} values for {columns} columns{where}"


def _row(number: int, columns: dict[str, Callable[[str], Any]], values: list[str], blank: Record) -> Row | BadRow:
    """The row on top of `blank`."""
    record, faults = {**blank, "attributes": {}}, []
    for (name, read), text in zip(columns.items(), values, strict=True):
        if text.strip() == "":  # an empty cell takes the field's default
            if name in REQUIRED:
                faults.append((name, "is empty"))
            continue
        if not text.isascii() and has_undecodable(text):
            faults.append((name, "is not UTF-8 text"))
            continue
        try:
            record[name] = read(text.strip())
        except ValueError as error:
            faults.append((name, str(error)))
    return bad_row(number, faults) if faults else Row(number, record)


def _one_of(symbols: list[str], text: str) -> str:
    if text not in symbols:
        raise ValueError(f"{text!r} is none of {', '.join(symbols)}")
    return text


def _attributes(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f'{text[:40]!r} is no JSON object of strings: expected one like {{"ticket": "A-1"}}')
    return found
