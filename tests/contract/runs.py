"""Runs of records for the columnar decoder, and what fastavro makes of the same bytes. Times are microseconds here:
a date beyond the year 9999 is a number to Arrow and an error to Python."""

import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import fastavro
import polars as pl

from spendstream.runtime.kafka.columns import BATCH_LIMIT, Columns, decode_columns
from spendstream.schemas import Undecodable, frame_id, schema_ids
from spendstream.schemas.catalogue import record_json
from spendstream.schemas.codec import HEADER

BATCH_OF = {"Usage": "UsageBatch", "Correction": "CorrectionBatch"}
#: (position in the run, place in its batch) of an event.
Place = tuple[int, int]
Values = list[bytes | None]


@dataclass
class Record:
    """A consumer record as far as a decoder cares."""

    offset: int
    value: bytes | None
    timestamp: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def decoded(values: Values, single: str, kept: Collection[str] = ()) -> Columns:
    """The columnar decoder on a run of these values; `kept`: attributes it keeps."""
    return decode_columns([Record(i, value) for i, value in enumerate(values)], single, BATCH_OF.get(single), kept)


def found(columns: Columns) -> dict[Place, dict[str, Any]]:
    """Accepted events by place."""
    events = columns.events.cast({name: _without_times(kind) for name, kind in columns.events.schema.items()})
    return dict(zip(zip(columns.record.tolist(), columns.item.tolist(), strict=True), events.to_dicts(), strict=True))


def _without_times(kind: Any) -> Any:
    """The type with times as numbers, also inside lists."""
    if isinstance(kind, pl.List):
        return pl.List(_without_times(kind.inner))
    if isinstance(kind, pl.Struct):
        return pl.Struct({field.name: _without_times(field.dtype) for field in kind.fields})
    return pl.Int64 if isinstance(kind, pl.Datetime) else kind


def refused(columns: Columns) -> dict[int, str]:
    """Reason of each record refused as a whole."""
    return {reject.record: reject.reason for reject in columns.rejects}


def expected(values: Values, single: str) -> tuple[dict[Place, dict[str, Any]], dict[int, str]]:
    """What fastavro makes of the same values: events by place, and the reason of each record it refuses."""
    events: dict[Place, dict[str, Any]] = {}
    reasons: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            name, record = _read(value, (single, BATCH_OF.get(single, single)))
        except Undecodable as error:
            reasons[position] = error.reason
            continue
        members = record["events"] if name != single else [record]
        if 0 < len(members) <= BATCH_LIMIT:
            first = 0 if name != single else -1
            events.update({(position, first + i): _hot(member) for i, member in enumerate(members)})
        else:
            reasons[position] = "batch_too_large" if members else "empty_batch"
    return events, reasons


def _read(value: bytes | None, names: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    schema_id = frame_id(value)
    name = next((name for name in names if schema_ids()[name] == schema_id), None)
    if name is None:
        raise Undecodable("unknown_schema", str(schema_id))
    assert value is not None
    try:
        record = fastavro.schemaless_reader(io.BytesIO(value[HEADER.size :]), _timeless(name), None)
    except Exception as error:
        raise Undecodable("undecodable", repr(error)) from error
    return name, record


@cache
def _timeless(name: str) -> Any:
    """The schema with times as the numbers they are on the wire."""
    return fastavro.parse_schema(json.loads(record_json(name).replace('"logicalType": "timestamp-micros"', '"x": ""')))


def _hot(record: dict[str, Any]) -> dict[str, Any]:
    """The record without the free-form attributes, which the columnar decoder leaves out."""
    return {name: value for name, value in record.items() if name != "attributes"}
