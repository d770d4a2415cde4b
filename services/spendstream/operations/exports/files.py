"""Entries of a JSON, JSON Lines or CSV file, each with its line.

A JSON document may be one entry, a list, a page of an API (`data`), buckets of a usage report (`results`, which inherit
what their bucket says) or traces with their `observations`. In CSV an empty cell is not there, and a cell that is a
JSON object is read as one.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from spendstream.operations.import_source import Bad

_DECODER = json.JSONDecoder(parse_float=Decimal)
_BLANK = " \t\r\n"


class UnreadableExport(ValueError):
    """The file as a whole is not an export that can be read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call or aggregate of the file, and the line where it begins."""

    line: int
    value: Mapping[str, Any]


def entries(path: Path) -> Iterator[Entry | Bad]:
    """Everything in the file, in its order. `UnreadableExport` when it is no JSON, JSON Lines or CSV."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
        if not first:
            return
        if first.lstrip()[0] not in "[{":
            file.seek(0)
            yield from _of_table(path, file)
        elif _is_lines(first, next((line for line in file if line.strip()), "")):
            file.seek(0)
            yield from _of_lines(file)
        else:
            file.seek(0)
            yield from _of_document(path, file.read())


def _is_lines(first: str, second: str) -> bool:
    """Whether each line is a document of its own: the first is one, and it is not the end."""
    try:
        value = _DECODER.decode(first)
    except ValueError:
        return second.lstrip().startswith("{") and first.rstrip().endswith("}")
    return bool(second) and isinstance(value, Mapping)


def _of_lines(file: Iterator[str]) -> Iterator[Entry | Bad]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            for _, value in _unfolded(line, _skipped(line, 0), {}):
                yield Entry(number, value)
        except (ValueError, IndexError) as error:
            yield Bad(number, "row", f"is not JSON: {error}")


def _of_document(path: Path, text: str) -> Iterator[Entry | Bad]:
    start = _skipped(text, 0)
    try:
        _, end = _DECODER.raw_decode(text, start)
        if text[end:].strip():
            raise UnreadableExport(f"{path}: line {_line(text, end)}: something follows the end of the document")
    except json.JSONDecodeError as error:
        raise UnreadableExport(f"{path}: line {error.lineno}: is not JSON: {error.msg}") from None
    line, behind = 1, 0
    for offset, value in _unfolded(text, start, {}):
        line += text.count("\n", behind, offset)
        behind = offset
        yield Entry(line, value)


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _unfolded(text: str, at: int, given: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The entries inside the JSON value at `at`, with their offsets; `given` is what surrounds them said."""
    if text[at] == "[":
        for offset in _elements(text, at):
            yield from _unfolded(text, offset, given)
        return
    value, _ = _DECODER.raw_decode(text, at)
    if not isinstance(value, Mapping):
        raise ValueError(f"{json.dumps(value, default=str)[:40]} is not an object")
    inside, said = _container(value)
    if inside is None:
        yield at, {**given, **value}
    else:
        yield from _unfolded(text, _member(text, at, inside), {**given, **said})


def _container(value: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """The member that holds the entries, if it is one that does, and what its entries inherit."""
    if "usage" in value:  # an answer with a list called `data`
        return None, {}
    if isinstance(value.get("data"), list):
        return "data", {}
    if isinstance(value.get("results"), list):
        return "results", {key: item for key, item in value.items() if key not in ("results", "object")}
    if isinstance(value.get("observations"), list) and all(isinstance(item, Mapping) for item in value["observations"]):
        shared = {key: value.get(key) for key in ("userId", "sessionId", "environment") if value.get(key)}
        return "observations", {"traceName": value.get("name"), **shared}
    return None, {}


def _elements(text: str, at: int) -> Iterator[int]:
    """Offsets of the elements of the list at `at`; the text is known to be JSON up to there."""
    at = _skipped(text, at + 1)
    while text[at] != "]":
        yield at
        at = _after(text, at)


def _member(text: str, at: int, wanted: str) -> int:
    """Offset of the value of a member of the object at `at`."""
    at = _skipped(text, at + 1)
    while True:
        key, at = _DECODER.raw_decode(text, at)
        at = _skipped(text, _skipped(text, at) + 1)  # the colon
        if key == wanted:
            return at
        at = _after(text, at)


def _after(text: str, at: int) -> int:
    """Offset behind the value at `at` and its comma."""
    _, at = _DECODER.raw_decode(text, at)
    at = _skipped(text, at)
    return _skipped(text, at + 1) if text[at] == "," else at


def _skipped(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _of_table(path: Path, file: Iterator[str]) -> Iterator[Entry | Bad]:
    lines = csv.DictReader(file)
    names = lines.fieldnames or []
    if len(names) < 2 or len(set(names)) < len(names):
        raise UnreadableExport(f"{path}: line 1: is neither JSON nor a CSV header of different names")
    for row in lines:
        if None in row or None in row.values():
            yield Bad(lines.line_num, "row", f"has not the {len(names)} values of the header")
            continue
        yield Entry(lines.line_num, {name.strip(): _cell(text) for name, text in row.items() if text.strip()})


def _cell(text: str) -> Any:
    if text.lstrip()[:1] == "{":
        try:
            return _DECODER.decode(text)
        except ValueError:
            return text
    return text
