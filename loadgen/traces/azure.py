"""Azure LLM inference traces: TIMESTAMP (100 ns text, UTC), ContextTokens, GeneratedTokens. Nothing says who called."""

import csv
from collections.abc import Iterator

from loadgen.traces.reading import BadRow, Row, Trace, UnreadableTrace, bad_row, count_of, micros_of
from loadgen.wire import defaults

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


def read_azure(trace: Trace) -> Iterator[Row | BadRow]:
    """Rows of the trace; owner, provider and model stay empty. `UnreadableTrace` when a column is missing."""
    blank = defaults()
    with trace.path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (lines.fieldnames or ())]
        if missing:
            raise UnreadableTrace(f"{trace.path}: line 1: no column {', '.join(missing)}")
        for line in lines:
            yield _row(trace, lines.line_num, line, blank)


def _row(trace: Trace, number: int, line: dict[str, str | None], blank: dict[str, object]) -> Row | BadRow:
    values, faults = [], []
    for column, read in zip(COLUMNS, (micros_of, count_of, count_of), strict=True):
        try:
            values.append(read(line[column] or ""))
        except ValueError as error:
            faults.append((column, str(error)))
    if faults:
        return bad_row(number, faults)
    occurred_at, context, generated = values
    record = {
        **blank,
        "attributes": {},
        "event_id": trace.event_id(number),
        "occurred_at": occurred_at,
        "input_tokens": context,
        "output_tokens": generated,
    }
    return Row(number, record)
