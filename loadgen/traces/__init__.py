"""Readers of recorded usage. A reader only reads: who owns a row (`assign`) and where it goes are decided elsewhere.

Each yields a `Row` per good line and a `BadRow` per bad one, in the order of the file, and never stops at a bad one.
"""

from loadgen.traces.azure import read_azure
from loadgen.traces.burstgpt import read_burstgpt
from loadgen.traces.mooncake import read_mooncake
from loadgen.traces.reading import BadRow, Row, Trace, UnreadableTrace, open_trace
from loadgen.traces.servegen import read_servegen
from loadgen.traces.usage_csv import read_usage_csv

READERS = {
    "csv": read_usage_csv,
    "azure-llm": read_azure,
    "burstgpt": read_burstgpt,
    "mooncake": read_mooncake,
    "servegen": read_servegen,
}

__all__ = [
    "READERS",
    "BadRow",
    "Row",
    "Trace",
    "UnreadableTrace",
    "open_trace",
    "read_azure",
    "read_burstgpt",
    "read_mooncake",
    "read_servegen",
    "read_usage_csv",
]
