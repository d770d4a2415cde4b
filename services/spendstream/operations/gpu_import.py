"""Recorded GPU readings onto the topic: a reading counts once per device and moment for ever, so sending repeats."""

import asyncio
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from spendstream.operations.arrival import ASK_SERVICES_EVERY_S, PATIENCE_S, NotQueryableError
from spendstream.operations.store import Store
from spendstream.runtime.heartbeats import running
from spendstream.runtime.kafka.groups import committed
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.retry import NotNowError
from spendstream.runtime.settings import Settings
from spendstream.schemas import encode

TOPIC = "gpu-telemetry"
GROUP = "attribution-gpu"
CHUNK = 5_000
ASKED_AT_ONCE = 20_000
POLL_S = 0.5


class Placed(NamedTuple):
    """A reading and where it is on the topic."""

    org: str
    gpu_uuid: str
    sampled_at: int
    partition: int
    offset: int


@dataclass
class Sent:
    """Readings that were sent, 24 bytes each: a month of a rack is millions of them."""

    ends: dict[int, int] = field(default_factory=dict)
    _names: list[tuple[str, str]] = field(default_factory=list)
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    _device: "array[int]" = field(default_factory=lambda: array("i"))
    _sampled_at: "array[int]" = field(default_factory=lambda: array("q"))
    _partition: "array[int]" = field(default_factory=lambda: array("i"))
    _offset: "array[int]" = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self._device)

    def add(self, each: Placed) -> None:
        """Note one; `ends` has the last offset in each partition."""
        device = (each.org, each.gpu_uuid)
        if (number := self._numbers.setdefault(device, len(self._names))) == len(self._names):
            self._names.append(device)
        self._device.append(number)
        self._sampled_at.append(each.sampled_at)
        self._partition.append(each.partition)
        self._offset.append(each.offset)
        self.ends[each.partition] = max(each.offset, self.ends.get(each.partition, each.offset))

    def chunks(self, size: int) -> Iterator[list[Placed]]:
        """All of them in the order they were sent."""
        for start in range(0, len(self), size):
            columns = (each[start : start + size] for each in (self._sampled_at, self._partition, self._offset))
            devices = (self._names[number] for number in self._device[start : start + size])
            yield [Placed(*device, *place) for device, *place in zip(devices, *columns, strict=True)]


@dataclass
class Outcome:
    """What became of readings: counted, already there (the device and moment were known), or rejected."""

    counted: int = 0
    already_there: int = 0
    rejected: list[tuple[str, str, str]] = field(default_factory=list)


async def send(publisher: Publisher, records: Iterable[dict[str, Any]], tell: Callable[[int], None]) -> Sent:
    """Publish records keyed by device. `NotNowError` when the broker is away; the same records may be sent again."""
    rows, sent = iter(records), Sent()
    while chunk := list(islice(rows, CHUNK)):
        pending: list[asyncio.Future[Any]] = []
        try:
            for record in chunk:
                value = encode("GpuSample", record)
                pending.append(await publisher.producer.send(TOPIC, value=value, key=record["gpu_uuid"].encode()))
            places = await asyncio.gather(*pending)
        except (KafkaError, OSError) as error:
            for future in pending:
                future.cancel()
            raise NotNowError(f"publishing to {TOPIC}: {error!r}") from error
        for record, place in zip(chunk, places, strict=True):
            sent.add(Placed(record["org"], record["gpu_uuid"], record["sampled_at"], place.partition, place.offset))
        tell(len(chunk))
    return sent


async def until_read(settings: Settings, sent: Sent, deadline: float) -> None:
    """Return once attribution has passed every reading. `NotQueryableError` at the deadline (monotonic seconds)."""
    partitions = [TopicPartition(TOPIC, partition) for partition in sent.ends]
    absent_since, asked_at = None, 0.0
    while True:
        found = await committed(settings, [GROUP], partitions)
        behind = sum(max(0, sent.ends[tp.partition] + 1 - found.get((GROUP, tp), 0)) for tp in partitions)
        if not behind:
            return
        now = time.monotonic()
        if now - asked_at > ASK_SERVICES_EVERY_S:
            asked_at = now
            alive = any(name.startswith("attribution/") for name in await running(settings))
            absent_since = None if alive else (absent_since or now)
        if absent_since is not None and now - absent_since > PATIENCE_S:
            raise NotQueryableError("no attribution service runs, so nobody reads the readings")
        if now > deadline:
            raise NotQueryableError(f"still waiting for {behind} offsets to be read")
        await asyncio.sleep(POLL_S)


async def outcome(store: Store, sent: Sent, deadline: float) -> Outcome:
    """What became of readings attribution has passed; waits (to the deadline) until those it refused are filed."""
    found, missing = Outcome(), list[Placed]()
    for chunk in sent.chunks(ASKED_AT_ONCE):
        missing += await asyncio.to_thread(_look_up, store, chunk, found)
    while missing:
        found.rejected = await asyncio.to_thread(_letters, store, missing)
        if len(found.rejected) >= len(missing) or time.monotonic() > deadline:
            break
        await asyncio.sleep(POLL_S)
    return found


def _look_up(store: Store, sent: Sequence[Placed], found: Outcome) -> list[Placed]:
    """Count readings by what the table says of their device and moment; returns those it does not know."""
    low, high = min(each.sampled_at for each in sent), max(each.sampled_at for each in sent)
    rows = store.rows(
        "select org, gpu_uuid, toUnixTimestamp64Micro(ts), partition, offset from gpu_samples final"
        " where gpu_uuid in %(uuids)s"
        f" and ts between fromUnixTimestamp64Micro({low}, 'UTC') and fromUnixTimestamp64Micro({high}, 'UTC')",
        uuids=sorted({each.gpu_uuid for each in sent}),
    )
    places = {(org, uuid, ts): (partition, offset) for org, uuid, ts, partition, offset in rows}
    missing = []
    for each in sent:
        place = places.get(each[:3])
        if place is None:
            missing.append(each)
        elif place == each[3:]:
            found.counted += 1
        else:
            found.already_there += 1
    return missing


def _letters(store: Store, missing: Sequence[Placed]) -> list[tuple[str, str, str]]:
    """(device and moment, reason, detail) of readings that were refused."""
    wanted = {each[3:] for each in missing}
    low = min(each.offset for each in missing)
    rows = store.rows(
        "select partition, offset, event_id, reason, detail from dead_letters final"
        f" where topic = %(topic)s and offset >= {low} and rejected_at > now() - interval 1 hour",
        topic=TOPIC,
    )
    return [(event_id, reason, detail) for partition, offset, event_id, reason, detail in rows
            if (partition, offset) in wanted]  # fmt: skip
