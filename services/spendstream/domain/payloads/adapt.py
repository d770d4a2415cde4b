"""Which table reads a payload, and what is wrapped around it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from spendstream.domain.payloads import anthropic, bedrock, gateways, google, openai, telemetry
from spendstream.domain.payloads.engine import read
from spendstream.domain.payloads.paths import expression, look_up
from spendstream.domain.payloads.source import Adapted, Envelope, Refused, Source
from spendstream.domain.tokens import BUCKETS, REJECT_REASONS, REPORTED, normalise

#: Every table by name. Where two shapes overlap, the more particular one comes first.
SOURCES: Final[Mapping[str, Source]] = {
    source.name: source
    for source in (
        *gateways.SOURCES,
        *telemetry.SOURCES,
        *bedrock.SOURCES,
        *google.SOURCES,
        anthropic.USAGE_REPORT,
        anthropic.CONSOLE_CSV,
        openai.USAGE_REPORT,
        openai.IMAGES,
        openai.TRANSCRIPTION,
        openai.REALTIME,
        openai.AZURE_RESPONSES,
        openai.AZURE_CHAT,
        openai.EMBEDDINGS,
        openai.CHAT,
        anthropic.MESSAGES,
        openai.RESPONSES,
    )
}

_BATCH: Final = {"service_tier": "batch"}
ENVELOPES: Final = (
    Envelope("response.body", _BATCH),  # a line of an OpenAI batch's output
    Envelope("result.message", _BATCH),  # a line of an Anthropic batch's results
    Envelope("modelOutput", {**_BATCH, "provider": "aws"}),  # a line of a Bedrock batch's output
    Envelope("response", _BATCH, ("response.usageMetadata", ())),  # a line of a Gemini batch's output
    Envelope(
        "response",
        only_if=("type", ("response.completed", "response.incomplete", "response.failed", "response.done")),
    ),
    Envelope("message", only_if=("type", ("message_start",))),
    Envelope("metadata", only_if=("metadata.usage.inputTokens", ())),  # the last event of a Bedrock ConverseStream
    Envelope("standard_logging_object"),
    Envelope("attributes", only_if=("attributes", ())),  # a span
)
_DEEPEST: Final = 4


def adapt(
    payload: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    source: str | None = None,
    said: Mapping[str, Any] | None = None,
) -> Adapted | Refused:
    """The Usage fields of one API answer, streaming event, batch line, span or log entry.

    `payload` may be all events of a stream: they are put together first. `source` names a table (`SOURCES`); without
    it the shape decides. `said` are Usage fields the caller knows (the provider of an OpenAI-compatible endpoint, the
    model of a Converse call); they win over the payload. The result has only the fields that are known.
    """
    whole = payload if isinstance(payload, Mapping) else _of_stream(payload)
    inner, adds = _unwrapped(whole)
    table = SOURCES[source] if source is not None else _recognised(inner)
    if table is None:
        keys = ", ".join(sorted(map(str, inner))[:12]) or "nothing"
        return Refused(
            "unknown_shape",
            f"no token counts under any known name; the payload has {keys}",
            ("input_tokens", "output_tokens"),
        )
    return read(table, inner, {**adds, **(said or {})})


def recognise(payload: Mapping[str, Any]) -> str | None:
    """The name of the table whose shape a payload has."""
    table = _recognised(_unwrapped(payload)[0])
    return table.name if table else None


def buckets(fields: Mapping[str, Any]) -> tuple[dict[str, int], str]:
    """Disjoint buckets of adapted fields, and why they are rejected (empty: they are not). See domain/tokens.py."""
    row = {name: int(fields.get(name) or 0) for name in REPORTED}
    frame = pl.DataFrame([{**row, "requests": int(fields.get("requests", 1)), "convention": fields["convention"]}])
    normalised = normalise(frame)
    return {name: int(normalised.buckets[name][0]) for name in BUCKETS}, REJECT_REASONS[int(normalised.reason[0])]


def _recognised(payload: Mapping[str, Any]) -> Source | None:
    for source in SOURCES.values():
        if all(expression(text).value(payload) is not None for text in source.known_by):
            return source
    return None


def _unwrapped(payload: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The payload inside all its envelopes, and what these say."""
    adds: dict[str, Any] = {}
    for _ in range(_DEEPEST):
        if (found := _opened(payload)) is None:
            break
        payload, said = found
        adds.update(said)
    return payload, adds


def _opened(payload: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    for envelope in ENVELOPES:
        inside = look_up(payload, tuple(envelope.at.split(".")))
        if envelope.only_if is not None:
            path, values = envelope.only_if
            found = look_up(payload, tuple(path.split(".")))
            if found is None or (values and found not in values):
                continue
        if envelope.at == "attributes":
            flat = _flat(inside)
            if any(key.startswith(("gen_ai.", "llm.")) for key in flat):
                return flat, {}
        elif isinstance(inside, Mapping):
            return inside, envelope.adds
    return None


def _flat(attributes: Any) -> dict[str, Any]:
    """Attributes of a span: a mapping as it is, OTLP's list of keys and typed values as a mapping."""
    if isinstance(attributes, Mapping):
        return {str(key): value for key, value in attributes.items()}
    flat: dict[str, Any] = {}
    for item in attributes if isinstance(attributes, Sequence) and not isinstance(attributes, str) else ():
        if isinstance(item, Mapping) and isinstance(item.get("value"), Mapping):
            flat[str(item.get("key"))] = next(iter(item["value"].values()), None)
    return flat


def _of_stream(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The events of a stream as one payload.

    Anthropic reports input with `message_start` and the running totals with each `message_delta`; everyone else says
    all of it in the last event that has usage.
    """
    events = [event for event in events if isinstance(event, Mapping)]
    start: Any = next((event.get("message") for event in events if event.get("type") == "message_start"), None)
    if isinstance(start, Mapping):
        usage = _members(start.get("usage"))
        for event in events:
            if event.get("type") == "message_delta":
                usage |= {key: value for key, value in _members(event.get("usage")).items() if value is not None}
        return {**start, "usage": usage}
    said: Mapping[str, Any] = {}
    for event in events:
        said = event if recognise(event) is not None or not said else said
    return said


def _members(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
