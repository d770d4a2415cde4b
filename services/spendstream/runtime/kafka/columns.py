"""From a run of records to one table: the Arrow decoder does the run, fastavro judges what it cannot take.

pyruhvro fails a whole batch on one bad record and says not which, so the run is halved until the bad records stand
alone; fastavro then says what is wrong with each. tests/contract proves both decoders agree.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyruhvro

from spendstream.runtime.kafka import attributes
from spendstream.runtime.kafka.transport import Record
from spendstream.schemas import (
    Undecodable,
    decode,
    decode_plain,
    earlier_frames,
    encode,
    encode_plain,
    frame,
    frame_id,
)
from spendstream.schemas.catalogue import record_json
from spendstream.schemas.codec import HEADER

Ints = npt.NDArray[np.int64]
BATCH_LIMIT = 1_000
#: Well below what a broker takes in one record, however little it compresses.
BATCH_BYTES = 400_000
HALVING_FLOOR = 64


@cache
def _arrow_schema(record_name: str) -> pa.Schema:
    return pyruhvro.deserialize_array([], record_json(record_name)).schema


def encode_columns(record_name: str, rows: pl.DataFrame) -> list[bytes]:
    """Framed records of a table that has every field of the record (times as Int64 microseconds)."""
    header = frame(record_name)
    return [header + body for body in _encoded(record_name, rows)]


def encode_batches(batch: str, single: str, rows: pl.DataFrame) -> list[bytes]:
    """The same rows, in order, as framed `batch` records whose field `events` holds `single` records.

    At most BATCH_LIMIT and about BATCH_BYTES in one.
    """
    header = frame(batch)
    found, members, size = list[bytes](), list[bytes](), 0
    for body in _encoded(single, rows):
        if members and (len(members) == BATCH_LIMIT or size + len(body) > BATCH_BYTES):
            found.append(_block(header, members))
            members, size = [], 0
        members.append(body)
        size += len(body)
    return [*found, _block(header, members)] if members else found


def _block(header: bytes, members: list[bytes]) -> bytes:
    """An Avro array in one block: how many, the items, and no further block."""
    left, count = len(members) << 1, bytearray()
    while left > 0x7F:
        count.append(left & 0x7F | 0x80)
        left >>= 7
    count.append(left)
    return b"".join((header, count, *members, b"\0"))


def _encoded(record_name: str, rows: pl.DataFrame) -> list[bytes]:
    if not rows.height:
        return []
    schema = _arrow_schema(record_name)
    plain = pa.schema([pa.field(field.name, field.type, field.nullable) for field in schema])
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    table = rows.select(plain.names).with_columns(pl.col(times).cast(pl.Datetime("us"))).to_arrow().cast(plain)
    found: list[bytes] = []
    for batch in table.combine_chunks().to_batches():
        for bodies in pyruhvro.serialize_record_batch(batch, record_json(record_name), 1):
            found += bodies.to_pylist()
    return found


@dataclass(frozen=True)
class Reject:
    """A record (item -1) or a member of a batch that can never be processed."""

    record: int
    item: int
    reason: str
    detail: str


@dataclass
class Columns:
    """Decoded events in log order. `record[i]` is the position in the run that event i came from, `item[i]` its place
    in a producer-side batch (-1 for a single record)."""

    events: pl.DataFrame
    record: Ints
    item: Ints
    rejects: list[Reject] = field(default_factory=list)


def decode_columns(
    records: Sequence[Record], single: str, batch: str | None = None, kept: Collection[str] = ()
) -> Columns:
    """Decode a run whose records are `single` or `batch` records (of field `events`), mixed freely.

    Of the free-form attributes those `kept` stay; events have a column of them only where one of them has any.
    """
    rejects: list[Reject] = []
    values = [record.value or b"" for record in records]
    singles, batches = _sorted_by_schema(values, single, batch, rejects)
    parts = []
    if singles:
        parts.append(_decode_singles(values, singles, single, kept, rejects))
    if batches and batch is not None:
        parts.append(_decode_batches(values, batches, single, batch, kept, rejects))
    return _in_log_order(parts, single, rejects)


def _sorted_by_schema(
    values: Sequence[bytes], single: str, batch: str | None, rejects: list[Reject]
) -> tuple[Sequence[int], Sequence[int]]:
    """Positions of single and of batch records; whatever has another frame is rejected."""
    frames = [value[: HEADER.size] for value in values]
    expected = frame(single)
    if frames.count(expected) == len(frames):
        return range(len(frames)), ()
    single_frames = {expected, *earlier_frames(single)}
    batch_frames = {frame(batch), *earlier_frames(batch)} if batch is not None else set()
    singles = [i for i, found in enumerate(frames) if found in single_frames]
    batches = [i for i, found in enumerate(frames) if found in batch_frames]
    for i, found in enumerate(frames):
        if found not in single_frames | batch_frames:
            rejects.append(Reject(i, -1, *_why_not(values[i])))
    return singles, batches


def _why_not(value: bytes) -> tuple[str, str]:
    try:
        return "unknown_schema", f"schema id {frame_id(value)} does not belong on this topic"
    except Undecodable as error:
        return error.reason, str(error)


def _bodies(values: Sequence[bytes], positions: Sequence[int], record_name: str) -> list[bytes]:
    mine = values if len(positions) == len(values) else [values[position] for position in positions]
    earlier = earlier_frames(record_name)
    if earlier:
        mine = [_in_current_form(value) if value[: HEADER.size] in earlier else value for value in mine]
    return [value[HEADER.size :] for value in mine]


def _in_current_form(value: bytes) -> bytes:
    """A value of an earlier version as the current one writes it; what cannot be read stays unreadable."""
    try:
        return encode(*decode(value))
    except Undecodable:
        return value[: HEADER.size]


def _arrow(bodies: list[bytes], record_name: str) -> pa.RecordBatch | None:
    """Arrow table of all bodies, or None when one of them does not fit."""
    try:
        decoded = pyruhvro.deserialize_array(bodies, record_json(record_name))
        decoded.validate(full=True)  # it lets text through that is not UTF-8
        return decoded
    except BaseException as error:  # a Rust panic arrives as a BaseException
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        return None


def _good(
    values: Sequence[bytes], positions: Sequence[int], record_name: str, rejects: list[Reject]
) -> list[tuple[Sequence[int], pa.RecordBatch]]:
    """Decode `positions`, halving around bad records; what fastavro refuses becomes a reject."""
    decoded = _arrow(_bodies(values, positions, record_name), record_name)
    if decoded is not None:
        return [(positions, decoded)]
    if len(positions) > HALVING_FLOOR:
        middle = len(positions) // 2
        return [
            *_good(values, positions[:middle], record_name, rejects),
            *_good(values, positions[middle:], record_name, rejects),
        ]
    plausible = [position for position in positions if _why_refused(values[position]) is None]
    together = _arrow(_bodies(values, plausible, record_name), record_name)
    kept = set(plausible if together is not None else [])
    for position in positions:
        if position in kept:
            continue
        if _arrow(_bodies(values, [position], record_name), record_name) is not None:
            kept.add(position)
        else:
            detail = f"{record_name}: the columnar decoder refuses it"
            rejects.append(Reject(position, -1, *(_why_refused(values[position]) or ("undecodable", detail))))
    if not kept:
        return []
    if together is not None and len(kept) == len(plausible):
        return [(plausible, together)]
    decoded = _arrow(_bodies(values, sorted(kept), record_name), record_name)
    return [(sorted(kept), decoded)] if decoded is not None else []


def _why_refused(value: bytes) -> tuple[str, str] | None:
    """Reason and detail when fastavro does not take a value."""
    try:
        decode(value)
    except Undecodable as error:
        return error.reason, str(error)
    return None


Part = tuple[pl.DataFrame, Ints, Ints]


def _decode_singles(
    values: Sequence[bytes], positions: Sequence[int], single: str, kept: Collection[str], rejects: list[Reject]
) -> list[Part]:
    parts: list[Part] = []
    for good, batch in _good(values, positions, single, rejects):
        where = np.asarray(good, dtype=np.int64)
        parts.append((_frame(batch, kept), where, np.full(len(good), -1, dtype=np.int64)))
    return parts


def _decode_batches(
    values: Sequence[bytes], positions: Sequence[int], single: str, batch: str, kept: Collection[str],
    rejects: list[Reject],
) -> list[Part]:  # fmt: skip
    parts: list[Part] = []
    for good, table in _good(values, positions, batch, rejects):
        events = table.column("events")
        sizes = np.diff(np.asarray(events.offsets))
        items = events.flatten()
        names = [field.name for field in items.type]
        decoded = _frame(pa.RecordBatch.from_arrays(items.flatten(), names=names), kept)
        where = np.repeat(np.asarray(good, dtype=np.int64), sizes)
        starts = np.cumsum(sizes) - sizes
        item = np.arange(len(where), dtype=np.int64) - np.repeat(starts, sizes)
        fits = np.repeat(sizes <= BATCH_LIMIT, sizes)
        for position in np.asarray(good)[sizes > BATCH_LIMIT].tolist():
            rejects.append(Reject(position, -1, "batch_too_large", f"more than {BATCH_LIMIT} events in one batch"))
        for position in np.asarray(good)[sizes == 0].tolist():
            rejects.append(Reject(position, -1, "empty_batch", "a batch without events"))
        if not fits.all():
            decoded, where, item = decoded.filter(pl.Series(fits)), where[fits], item[fits]
        parts.append((decoded, where, item))
    return parts


def _frame(batch: pa.RecordBatch, kept: Collection[str]) -> pl.DataFrame:
    """Polars table, of the free-form attributes only those on the allow-list."""
    names = [name for name in batch.schema.names if name != attributes.NAME]
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch]).select(names), rechunk=False))
    if len(names) == len(batch.schema.names):
        return frame
    found = attributes.kept_attributes(batch.column(attributes.NAME), kept)
    return frame if found is None else frame.with_columns(found)


def _in_log_order(groups: list[list[Part]], single: str, rejects: list[Reject]) -> Columns:
    parts = [part for group in groups for part in group if part[0].height]
    if not parts:
        empty = _frame(pa.RecordBatch.from_pylist([], schema=_arrow_schema(single)), ())
        none = np.empty(0, dtype=np.int64)
        return Columns(empty, none, none, rejects)
    events = parts[0][0] if len(parts) == 1 else pl.concat([part[0] for part in parts], how="diagonal")
    record = np.concatenate([part[1] for part in parts])
    item = np.concatenate([part[2] for part in parts])
    if len(parts) > 1:
        order = np.lexsort((item, record))
        if not (order == np.arange(len(order))).all():
            events, record, item = events[order], record[order], item[order]
    return Columns(events, record, item, rejects)


class Members:
    """Original bytes of rejected events: a single record's own, a batch member's cut out of its batch.

    A batch is decoded once, however many of its members are asked for one after the other.
    """

    def __init__(self, batch: str, single: str) -> None:
        self._batch, self._single = batch, single
        self._record: Record | None = None
        self._events: list[Any] = []

    def original_bytes(self, record: Record, item: int) -> bytes | None:
        """The bytes as a record of their own (`item` is the place in a batch, -1 for a single record)."""
        if item < 0 or record.value is None:
            return record.value
        if self._record is not record:
            self._record, self._events = record, decode_plain(record.value, self._batch)["events"]
        return encode_plain(self._single, self._events[item])
