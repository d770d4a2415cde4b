"""Entries of an export as Usage fields: which tables may read them, and what identifies them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from spendstream.domain.payloads import Refused, adapt, recognise
from spendstream.domain.payloads.anthropic import requests_at_least
from spendstream.domain.payloads.paths import look_up
from spendstream.operations.exports.files import Entry, UnreadableExport, entries
from spendstream.operations.import_source import Bad

#: Format → the tables of domain/payloads whose shapes its files may have.
FORMATS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai-usage": ("openai.", "azure."),
    "anthropic-usage": ("anthropic.",),
    "litellm": ("litellm",),
    "langfuse": ("langfuse",),
    "helicone": ("helicone",),
}

#: What a row of a usage report is one of: the same day asked for again is the same event, whatever file it came in.
_REPORT_KEYS: Final = (
    "start_time", "end_time", "project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "api_source",
    "starting_at", "ending_at", "workspace_id", "context_window", "inference_geo", "speed",
    "usage_date_utc", "model_version", "api_key", "workspace", "usage_type",
)  # fmt: skip
_REPORTS: Final = frozenset(("openai.usage_report", "anthropic.usage_report", "anthropic.console_csv"))
_DISJOINT_INPUT: Final = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
#: Where an entry says how the call ended, and what it says there when all went well.
_OUTCOMES: Final = (
    ("response_status", ("200", "201")),
    ("response.status_code", ("200",)),
    ("result.type", ("succeeded",)),
    ("level", ("DEFAULT", "DEBUG", "WARNING")),
    ("status", ("success", "completed")),
)
_BUCKET_TIMES: Final = frozenset(("start_time", "end_time", "start_time_iso", "end_time_iso"))
UNLIKE_BEFORE_REFUSED: Final = 100
_NOT_CALLS: Final = frozenset(("SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "GUARDRAIL"))


@dataclass(frozen=True, slots=True)
class Taken:
    """A good entry and the Usage fields it says; all that Usage cannot do without is among them."""

    line: int
    fields: Mapping[str, Any]


def read_export(path: Path, digest: str, file_format: str) -> Iterator[Taken | Bad]:
    """The entries of a file of one of `FORMATS`.

    Left out is what has no token counts for a reason: spans that are no calls, days without usage, calls that failed.

    `UnreadableExport` when the file is something else altogether: nothing can be read, or no entry among the first has
    a shape of the format.
    """
    unlike: list[Bad] = []
    alike = False
    for entry in entries(path):
        if isinstance(entry, Bad):
            yield entry
            continue
        if recognise(entry.value) is None and _costs_nothing(entry.value):
            continue
        taken = _taken(entry, digest, file_format)
        if not alike and isinstance(taken, Bad) and taken.column == "shape":
            unlike.append(taken)
            if len(unlike) >= UNLIKE_BEFORE_REFUSED:
                break
            continue
        alike = True
        yield from unlike
        unlike.clear()
        yield taken
    if unlike:
        raise UnreadableExport(f"{path}: line {unlike[0].line}: {unlike[0].problem}")


def _costs_nothing(value: Mapping[str, Any]) -> bool:
    """Whether an entry without token counts is no call, an empty day, or a call that failed."""
    if value.get("type") in _NOT_CALLS or value.keys() <= _BUCKET_TIMES:
        return True
    found = ((look_up(value, tuple(path.split("."))), fine) for path, fine in _OUTCOMES)
    return any(outcome is not None and str(outcome) not in fine for outcome, fine in found)


def _taken(entry: Entry, digest: str, file_format: str) -> Taken | Bad:
    name = recognise(entry.value)
    if name is not None and not name.startswith(FORMATS[file_format]):
        return Bad(entry.line, "shape", f"has the shape of {name}, not of a {file_format} export")
    adapted = adapt(entry.value, name)
    if isinstance(adapted, Refused):
        return _refused(entry.line, adapted, file_format)
    fields = dict(adapted.fields)
    if adapted.source in _REPORTS:
        fields["event_id"] = f"{file_format}/{_identity(entry.value)}"
        if "requests" not in fields:
            inputs = sum(int(fields.get(each) or 0) for each in _DISJOINT_INPUT)
            fields["requests"] = requests_at_least(inputs, entry.value.get("context_window"))
    elif "event_id" not in fields:
        fields["event_id"] = hashlib.sha256(f"{digest}:{entry.line}".encode()).hexdigest()[:32]
    if "occurred_at" not in fields:
        return Bad(entry.line, "occurred_at", f"{adapted.source} says no time: nothing can be priced without one")
    fields.setdefault("service", file_format)
    return Taken(entry.line, fields)


def _refused(line: int, refused: Refused, file_format: str) -> Bad:
    if refused.reason == "unknown_shape":
        return Bad(line, "shape", f"is not an entry of a {file_format} export: {refused.detail}")
    missing = refused.missing[0].split(" ")[0] if refused.missing else refused.detail.split(" ")[0]
    hint = ": group the report by model" if missing == "model" and "report" in refused.detail else ""
    return Bad(line, missing, f"{refused.reason}: {refused.detail}{hint}")


def _identity(value: Mapping[str, Any]) -> str:
    """Hash of what a row of a report is grouped by."""
    keys = {key: str(value[key]) for key in _REPORT_KEYS if value.get(key) is not None}
    return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:32]
