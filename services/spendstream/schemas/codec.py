"""Confluent wire format, one record at a time: a zero byte, the schema id, the Avro body."""

import io
import struct
from functools import cache
from typing import Any

import fastavro

from spendstream.schemas.catalogue import plain_schema, record_schema, released_ids, released_schema, schema_ids

MAGIC = 0
HEADER = struct.Struct(">bI")


class Undecodable(ValueError):
    """The bytes are not a record we know. `reason` is the dead-letter code, the text says what is wrong."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@cache
def frame(record: str) -> bytes:
    """The five bytes before every value of a record."""
    return HEADER.pack(MAGIC, schema_ids()[record])


@cache
def earlier_frames(record: str) -> frozenset[bytes]:
    """What stands before values of the versions a record had before."""
    earlier = {wire_id for wire_id, (name, _) in released_ids().items() if name == record} - {schema_ids()[record]}
    return frozenset(HEADER.pack(MAGIC, wire_id) for wire_id in earlier)


@cache
def _schemas_of(schema_id: int) -> tuple[str, Any, Any] | None:
    """Record, the schema its bytes are in, and the one to read them as where that is a newer version."""
    if schema_id not in released_ids():
        return None
    record = released_ids()[schema_id][0]
    if schema_ids()[record] == schema_id:
        return record, record_schema(record), None
    return record, released_schema(schema_id), record_schema(record)


def encode(record_name: str, record: dict[str, Any]) -> bytes:
    """Frame one record. Times may be datetimes or integer microseconds; missing fields take their default.

    `ValueError` for a field the record does not have or that is missing without a default.
    """
    out = io.BytesIO()
    out.write(frame(record_name))
    fastavro.schemaless_writer(out, record_schema(record_name), record, strict_allow_default=True)
    return out.getvalue()


def decode_plain(value: bytes, record_name: str) -> dict[str, Any]:
    """Content of a framed value that is known to be of a record, times as integers."""
    body = io.BytesIO(value)
    body.seek(HEADER.size)
    content: dict[str, Any] = fastavro.schemaless_reader(body, plain_schema(record_name), None)
    return content


def encode_plain(record_name: str, record: dict[str, Any]) -> bytes:
    """The inverse of `decode_plain`."""
    out = io.BytesIO()
    out.write(frame(record_name))
    fastavro.schemaless_writer(out, plain_schema(record_name), record)
    return out.getvalue()


def frame_id(value: bytes | None) -> int:
    """Schema id of a framed value; `Undecodable` when there is no frame."""
    if value is None or len(value) < HEADER.size:
        raise Undecodable("undecodable", "no Confluent header: shorter than five bytes")
    magic, schema_id = HEADER.unpack_from(value)
    if magic != MAGIC:
        raise Undecodable("undecodable", f"first byte is {magic}, not 0")
    return int(schema_id)


def decode(value: bytes | None) -> tuple[str, dict[str, Any]]:
    """Record name and content of a framed value; what an older version wrote is read as the current one.

    Raises `Undecodable` with reason `unknown_schema` for an id we do not know and `undecodable` for a body that does
    not fit its schema. Bytes behind the record are ignored, as Avro's own decoders do.
    """
    schema_id = frame_id(value)
    known = _schemas_of(schema_id)
    if known is None:
        raise Undecodable("unknown_schema", f"schema id {schema_id} is not in the catalogue")
    record_name, writer, reader = known
    assert value is not None
    body = io.BytesIO(value)
    body.seek(HEADER.size)
    try:
        record = fastavro.schemaless_reader(body, writer, reader)
    except Exception as error:  # fastavro raises whatever its reader stumbled over
        raise Undecodable("undecodable", f"{record_name}: {type(error).__name__}: {error}") from error
    return record_name, record
