"""Exports of other tools as usage: files to entries (`files.py`), entries to Usage fields (`records.py`).

What each field of an entry means is a table of `domain/payloads`; here is only how the tools pack entries into files.
"""

from spendstream.operations.exports.files import UnreadableExport
from spendstream.operations.exports.records import FORMATS, Taken, read_export

__all__ = ["FORMATS", "Taken", "UnreadableExport", "read_export"]
