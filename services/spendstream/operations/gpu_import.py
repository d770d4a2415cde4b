"""Recorded GPU readings onto the topic: a reading counts once per device and moment for ever, so sending repeats."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
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
POLL_S = 0.5


class Sent(NamedTuple):
    """A reading and where it is on the topic."""

    org: str
    gpu_uuid: str
    sampled_at: int
    partition: int
    offset: int


@dataclass
class Outcome:
    """What became of readings: counted, already there (the device and moment were known), or rejected."""

    counted: int = 0
    already_there: int = 0
    rejected: list[tuple[str, str, str]] = field(default_factory=list)


async def send(publisher: Publisher, records: Iterable[dict[str, Any]], tell: Callable[[int], None]) -> list[Sent]:
    """Publish records keyed by device. `NotNowError` when the broker is away; the same records may be sent again."""
    rows, sent = iter(records), []
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
        sent += [
            Sent(record["org"], record["gpu_uuid"], record["sampled_at"], place.partition, place.offset)
            for record, place in zip(chunk, places, strict=True)
        ]
        tell(len(chunk))
    return sent


async def until_read(settings: Settings, sent: Sequence[Sent], deadline: float) -> None:
    """Return once attribution has passed every reading. `NotQueryableError` at the deadline (monotonic seconds)."""
    ends: dict[int, int] = {}
    for each in sent:
        ends[each.partition] = max(each.offset, ends.get(each.partition, each.offset))
    partitions = [TopicPartition(TOPIC, partition) for partition in ends]
    absent_since, asked_at = None, 0.0
    while True:
        found = await committed(settings, [GROUP], partitions)
        behind = sum(max(0, ends[tp.partition] + 1 - found.get((GROUP, tp), 0)) for tp in partitions)
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


async def outcome(store: Store, sent: Sequence[Sent], deadline: float) -> Outcome:
    """What became of readings attribution has passed; waits (to the deadline) until those it refused are filed."""
    found, missing = Outcome(), []
    for start in range(0, len(sent), CHUNK):
        missing += await asyncio.to_thread(_look_up, store, sent[start : start + CHUNK], found)
    while missing:
        found.rejected = await asyncio.to_thread(_letters, store, missing)
        if len(found.rejected) >= len(missing) or time.monotonic() > deadline:
            break
        await asyncio.sleep(POLL_S)
    return found


def _look_up(store: Store, sent: Sequence[Sent], found: Outcome) -> list[Sent]:
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


def _letters(store: Store, missing: Sequence[Sent]) -> list[tuple[str, str, str]]:
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
