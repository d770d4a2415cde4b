"""Bad records in every form that has been seen on a usage topic, with the reason each must be rejected for."""

from collections.abc import Callable
from dataclasses import dataclass

from loadgen.people import Record
from loadgen.wire import UsageEncoder

UNKNOWN_SCHEMA_ID = 987_654
UNKNOWN_ENUM_INDEX = 14  # Avro's zigzag of 7; `convention` has two symbols
YEAR_9999_MICROS = 253_402_214_400_000_000
NEARLY_1_MB = 1_000_000  # brokers take 1 048 588 bytes by default, their own overhead included


@dataclass(frozen=True)
class Poison:
    """A record that must end as `reason` in the dead letters; as bytes, or as a record to send like any other."""

    form: str
    reason: str
    value: bytes | None = None
    record: Record | None = None


def _not_avro(record: Record, encoder: UsageEncoder) -> bytes | None:
    return f'{{"event_id": "{record["event_id"]}", "model": "json is not avro"}}'.encode()


def _unknown_schema(record: Record, encoder: UsageEncoder) -> bytes | None:
    return b"\0" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + encoder.body(record)


def _truncated(record: Record, encoder: UsageEncoder) -> bytes | None:
    value = encoder.single(record)
    return value[: len(value) * 2 // 3]


def _truncated_batch(record: Record, encoder: UsageEncoder) -> bytes | None:
    return encoder.batch([record, record])[:-7]


def _unknown_enum(record: Record, encoder: UsageEncoder) -> bytes | None:
    """The two conventions differ in one byte: the enum's index."""
    one = bytearray(encoder.single({**record, "convention": "inclusive"}))
    other = encoder.single({**record, "convention": "disjoint"})
    place = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    one[place] = UNKNOWN_ENUM_INDEX
    return bytes(one)


def _tombstone(record: Record, encoder: UsageEncoder) -> bytes | None:
    return None


RAW: dict[str, tuple[str, Callable[[Record, UsageEncoder], bytes | None]]] = {
    "not_avro": ("undecodable", _not_avro),
    "unknown_schema": ("unknown_schema", _unknown_schema),
    "truncated": ("undecodable", _truncated),
    "truncated_batch": ("undecodable", _truncated_batch),
    "unknown_enum": ("undecodable", _unknown_enum),
    "tombstone": ("undecodable", _tombstone),
}
FORMS = (*RAW, "negative_tokens", "negative_bucket", "clock", "size_limit")


def poison(form: str, record: Record, encoder: UsageEncoder) -> Poison:
    """The record as this form of poison. `size_limit` has no reason: it is large and right."""
    if form in RAW:
        reason, spoil = RAW[form]
        return Poison(form, reason, value=spoil(record, encoder))
    if form == "negative_tokens":
        return Poison(form, form, record={**record, "output_tokens": -1})
    if form == "negative_bucket":
        more = {"convention": "inclusive", "cache_read_tokens": record["input_tokens"] + 1}
        return Poison(form, form, record={**record, **more})
    if form == "clock":
        return Poison(form, form, record={**record, "occurred_at": YEAR_9999_MICROS})
    if form == "size_limit":
        room = NEARLY_1_MB - len(encoder.single(record))
        return Poison(form, "", record={**record, "attributes": {"padding": "x" * room}})
    raise ValueError(f"unknown form {form!r}; known: {', '.join(FORMS)}")
