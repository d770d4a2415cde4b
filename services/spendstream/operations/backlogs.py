"""How far consumers are behind, in records and in time."""

import asyncio
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from spendstream.operations.checks import Backlog
from spendstream.operations.store import Store
from spendstream.runtime import clock
from spendstream.runtime.kafka.reader import partition_reader
from spendstream.runtime.settings import Settings

ENDS_WITHIN_S = 10.0
READ_WITHIN_MS = 2_000


async def log_ends(settings: Settings, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """High watermark of each partition, as a fetch reports it."""
    wanted = list(partitions)
    consumer = AIOKafkaConsumer(**settings.kafka(), enable_auto_commit=False, fetch_max_wait_ms=50)
    await consumer.start()
    try:
        consumer.assign(wanted)
        await consumer.seek_to_end(*wanted)
        async with asyncio.timeout(ENDS_WITHIN_S):
            while any(consumer.highwater(tp) is None for tp in wanted):
                await consumer.getmany(timeout_ms=100)
        return {tp: int(consumer.highwater(tp) or 0) for tp in wanted}
    finally:
        await consumer.stop()


def ledger_positions(store: Store, incarnations: Mapping[int, str]) -> dict[tuple[str, TopicPartition], int]:
    """Next offset of each partition of usage that the ledger of charges does not hold."""
    have = {(i, p): last for i, p, last in store.rows(
        "select incarnation, partition, max(last) from ledger_ranges group by incarnation, partition"
    )}  # fmt: skip
    return {
        ("ledger", TopicPartition("usage", partition)): have.get((incarnation, partition), -1) + 1
        for partition, incarnation in incarnations.items()
    }


async def backlogs(
    settings: Settings, positions: Mapping[tuple[str, TopicPartition], int], ends: Mapping[TopicPartition, int]
) -> list[Backlog]:
    """What lies between the positions and the ends."""
    late = [(reader, tp, at) for (reader, tp), at in positions.items() if at < ends.get(tp, 0)]
    return list(await asyncio.gather(*(_backlog(settings, reader, tp, at, ends[tp]) for reader, tp, at in late)))


async def _backlog(settings: Settings, reader: str, tp: TopicPartition, at: int, end: int) -> Backlog:
    async with partition_reader(settings, tp.topic, tp.partition, at) as consumer:
        fetched = await consumer.getmany(tp, timeout_ms=READ_WITHIN_MS, max_records=1)
    records = fetched.get(tp, [])
    if not records:  # nothing but a transaction marker
        return Backlog(reader, tp.topic, tp.partition, 0, 0.0)
    age_s = max(0.0, clock.now_us() / 1_000_000 - records[0].timestamp / 1_000)
    return Backlog(reader, tp.topic, tp.partition, end - records[0].offset, age_s)
