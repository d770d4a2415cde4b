"""The alerts topic as a stream of lines for an operator."""

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from spendstream.domain.money import usd_from_pico
from spendstream.runtime.kafka.reader import log_bounds, partition_reader, read_batches
from spendstream.runtime.settings import Settings
from spendstream.schemas import Undecodable, decode

TOPIC = "alerts"
PARTITION = TopicPartition(TOPIC, 0)
POLL_MS = 500


async def states(
    settings: Settings, since: datetime | None, newest: int, follow: bool, kind: str | None = None
) -> AsyncIterator[Mapping[str, Any]]:
    """Published alert states of a kind (None: of all) in order: those since a time, else the `newest` so many; then new
    ones for ever.

    Money is in USD (`at_stake_usd` for `at_stake_pico_usd`). What cannot be decoded is left out.
    """
    async with partition_reader(settings, TOPIC, 0, 0) as consumer:
        # The newest of a kind may be anywhere; those of all kinds are the last ones.
        await _seek(consumer, since, newest if kind is None else None)
        last: deque[Mapping[str, Any]] = deque(maxlen=newest)
        async for records in read_batches(consumer, TOPIC, 0):
            if since is None:
                last.extend(_decoded(records, kind))
                continue
            for state in _decoded(records, kind):
                yield state
        for state in last:
            yield state
        while follow:
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for state in _decoded(records, kind):
                    yield state


async def _seek(consumer: AIOKafkaConsumer, since: datetime | None, newest: int | None) -> None:
    start, end = await log_bounds(consumer, PARTITION)
    position = start if newest is None else max(start, end - newest)
    if since is not None:
        found = (await consumer.offsets_for_times({PARTITION: int(since.timestamp() * 1_000)})).get(PARTITION)
        position = end if found is None or found.offset < 0 else found.offset
    consumer.seek(PARTITION, position)


def _decoded(records: Sequence[Any], kind: str | None) -> Sequence[Mapping[str, Any]]:
    found = []
    for record in records:
        try:
            state = decode(record.value)[1]
        except Undecodable:
            continue
        if kind in (None, state["kind"]):
            found.append(in_usd(state))
    return found


def in_usd(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose `x_pico_usd` are `x_usd`, exactly."""
    return {
        name.replace("_pico_usd", "_usd"): usd_from_pico(value) if "_pico_usd" in name and value is not None else value
        for name, value in record.items()
    }
