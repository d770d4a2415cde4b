"""BurstGPT traces (github.com/HPMLL/BurstGPT): ChatGPT and GPT-4 on Azure, seconds from the start of the trace.

Columns: Timestamp, Model, Request tokens, Response tokens, Total tokens, Log Type; newer files also Session ID and
Elapsed time (seconds). A call without response tokens failed. Nothing says who called.
"""

import csv
from collections.abc import Callable, Iterator
from typing import Any

from loadgen.traces.reading import BadRow, Row, Trace, UnreadableTrace, count_of, micros_from_start, open_text
from loadgen.wire import defaults

COLUMNS = ("Timestamp", "Model", "Request tokens", "Response tokens")
MODELS = {"ChatGPT": "gpt-3.5-turbo", "GPT-4": "gpt-4"}
SECOND = 1_000_000


def read_burstgpt(trace: Trace) -> Iterator[Row | BadRow]:
    """Rows of the trace; provider and model are its own. `UnreadableTrace` when a column is missing."""
    with open_text(trace.path) as file:
        lines = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (lines.fieldnames or ())]
        if missing:
            raise UnreadableTrace(f"{trace.path}: line 1: no column {', '.join(missing)}")
        for line in lines:
            yield _row(trace, lines.line_num, line)


def _row(trace: Trace, number: int, line: dict[str, str | None]) -> Row | BadRow:
    record = {**defaults(), "event_id": trace.event_id(number), "provider": "azure"}
    readers: dict[str, tuple[str, Callable[[str], Any]]] = {
        "Timestamp": ("occurred_at", lambda text: micros_from_start(text, SECOND)),
        "Model": ("model", _model),
        "Request tokens": ("input_tokens", count_of),
        "Response tokens": ("output_tokens", count_of),
        "Elapsed time": ("latency_ms", _milliseconds),
    }
    for column, (name, read) in readers.items():
        if column not in line and column not in COLUMNS:
            continue
        try:
            record[name] = read(line[column] or "")
        except ValueError as error:
            return BadRow(number, column, str(error))
    record["session_id"] = line.get("Session ID") or None
    if record["output_tokens"] == 0:
        record["status"] = "error"
    return Row(number, record)


def _model(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return MODELS.get(text, text)


def _milliseconds(text: str) -> int:
    return micros_from_start(text or "0", SECOND, start=0) // 1_000
