"""Mooncake traces (github.com/kvcache-ai/Mooncake): requests with the blocks of 512 tokens their prompts are made of.

JSON Lines: timestamp (ms from the start), input_length, output_length, hash_ids. A prompt whose first blocks were seen
before reads them from the prompt cache: that is what makes these traces input for cached prices. Nothing says who
called, nor which model.
"""

import json
from collections.abc import Iterator
from typing import Any

from loadgen.traces.reading import BadRow, Row, Trace, UnreadableTrace, count_of, micros_from_start, open_text
from loadgen.wire import defaults

BLOCK_TOKENS = 512
MILLISECOND = 1_000
KEYS = ("timestamp", "input_length", "output_length", "hash_ids")


def read_mooncake(trace: Trace) -> Iterator[Row | BadRow]:
    """Rows of the trace, cached tokens worked out. `UnreadableTrace` when its first line is not of this form."""
    seen: set[int] = set()
    with open_text(trace.path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            row = _row(trace, number, line, seen)
            if number == 1 and isinstance(row, BadRow):
                raise UnreadableTrace(f"{trace.path}: {row}")
            yield row


def _row(trace: Trace, number: int, line: str, seen: set[int]) -> Row | BadRow:
    try:
        entry: Any = json.loads(line)
    except ValueError as error:
        return BadRow(number, "row", f"is not JSON: {error}")
    missing = [key for key in KEYS if not isinstance(entry, dict) or key not in entry]
    if missing:
        return BadRow(number, missing[0], "is missing")
    values = {}
    readers = {"timestamp": lambda text: micros_from_start(text, MILLISECOND), "input_length": count_of,
               "output_length": count_of}  # fmt: skip
    for key, read in readers.items():
        try:
            values[key] = read(str(entry[key]))
        except ValueError as error:
            return BadRow(number, key, str(error))
    blocks = entry["hash_ids"]
    if not isinstance(blocks, list) or not all(isinstance(block, int) for block in blocks):
        return BadRow(number, "hash_ids", "must be a list of block numbers")
    record = {
        **defaults(),
        "event_id": trace.event_id(number),
        "occurred_at": values["timestamp"],
        "input_tokens": values["input_length"],
        "output_tokens": values["output_length"],
        "cache_read_tokens": min(values["input_length"], _known(blocks, seen) * BLOCK_TOKENS),
        "prefix_hash": f"block-{blocks[0]}" if blocks else "none",
    }
    seen.update(blocks)
    return Row(number, record)


def _known(blocks: list[int], seen: set[int]) -> int:
    """How many blocks at the front were seen before."""
    return next((i for i, block in enumerate(blocks) if block not in seen), len(blocks))
