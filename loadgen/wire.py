"""Usage records to bytes, quickly: the codec's bytes from per-field memories of values already seen.

`spendstream.schemas.encode` writes about 40 000 records a second; nearly all values of a load repeat, so remembering
their bytes makes it several times that. A test holds both to the same bytes.
"""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

from spendstream.schemas import encode, record_schema

REMEMBERED_VALUES = 4_096
HEADER_BYTES = 5


def _zigzag_slowly(number: int) -> bytes:
    """Avro long: zigzag, then base-128 little endian."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


SMALL = [_zigzag_slowly(number) for number in range(1 << 13)]


def _zigzag(number: int) -> bytes:
    if 0 <= number < 1 << 13:
        return SMALL[number]
    return _zigzag_slowly(number)


def _string(text: str) -> bytes:
    raw = text.encode()
    return _zigzag(len(raw)) + raw


class _Field(dict[Any, bytes]):
    """Bytes of each value of one field, worked out on first sight."""

    def __init__(self, avro_type: Any) -> None:
        super().__init__()
        self.write = _writer(avro_type)
        if isinstance(avro_type, list):
            self[None] = b"\0"

    def __missing__(self, value: Any) -> bytes:
        data = self.write(value)
        if len(self) < REMEMBERED_VALUES:
            self[value] = data
        return data


def _writer(avro_type: Any) -> Callable[[Any], bytes]:
    """How one scalar is written; unions are `[null, T]` as everywhere in `schemas/`, null is never asked for."""
    if isinstance(avro_type, list):
        inner = _writer(avro_type[1])
        return lambda value: b"\2" + inner(value)
    kind = avro_type["type"] if isinstance(avro_type, dict) else avro_type
    writers: dict[str, Callable[[Any], bytes]] = {
        "string": _string,
        "long": _zigzag,
        "boolean": lambda value: b"\1" if value else b"\0",
        "enum": lambda value: _zigzag(avro_type["symbols"].index(value)),
    }
    return writers[kind]


def _map_bytes(entries: dict[str, str]) -> bytes:
    if not entries:
        return b"\0"
    return _zigzag(len(entries)) + b"".join(_string(k) + _string(v) for k, v in entries.items()) + b"\0"


class UsageEncoder:
    """Encodes complete `Usage` dictionaries: every field present, times as integer microseconds."""

    def __init__(self) -> None:
        fields = record_schema("Usage")["fields"]
        *scalars, attributes = fields
        assert attributes["name"] == "attributes", "the map must be the last field of Usage"
        self._memories = [_Field(field["type"]) for field in scalars]
        self._values = itemgetter(*(field["name"] for field in scalars))
        self._single = encode("Usage", {**defaults(), "event_id": "", "occurred_at": 0})[:HEADER_BYTES]
        self._batch = encode("UsageBatch", {"events": []})[:HEADER_BYTES]

    def body(self, record: dict[str, Any]) -> bytes:
        """Avro body, without the frame."""
        parts = [memory[value] for memory, value in zip(self._memories, self._values(record), strict=True)]
        parts.append(_map_bytes(record["attributes"]))
        return b"".join(parts)

    def single(self, record: dict[str, Any]) -> bytes:
        """One framed `Usage`."""
        return self._single + self.body(record)

    def batch(self, records: Iterable[dict[str, Any]]) -> bytes:
        """One framed `UsageBatch`."""
        bodies = [self.body(record) for record in records]
        return b"".join((self._batch, _zigzag(len(bodies)), *bodies, b"\0")) if bodies else self._batch + b"\0"


def defaults() -> dict[str, Any]:
    """A new `Usage` dictionary with every field; those without a default are empty."""
    empty = {"string": "", "long": 0}
    fields = record_schema("Usage")["fields"]
    record = {field["name"]: field.get("default", empty.get(_kind(field["type"]))) for field in fields}
    record["attributes"] = {}
    return record


def _kind(avro_type: Any) -> str:
    return str(avro_type["type"] if isinstance(avro_type, dict) else avro_type)
