"""Reading a partition from an offset to its present end, outside any consumer group."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from spendstream.runtime.settings import Settings


@asynccontextmanager
async def partition_reader(
    settings: Settings, topic: str, partition: int, start: int
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer assigned to one partition, at `start` (or the oldest kept record when that is later)."""
    consumer = AIOKafkaConsumer(
        **settings.kafka(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=8 * 1024 * 1024,
        max_poll_records=50_000,
    )
    await consumer.start()
    try:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        if start > 0:
            consumer.seek(tp, start)
        else:
            await consumer.seek_to_beginning(tp)
        yield consumer
    finally:
        await consumer.stop()


async def read_batches(consumer: AIOKafkaConsumer, topic: str, partition: int) -> AsyncIterator[list[Any]]:
    """Batches of records up to the end the partition had at the last fetch.

    The end is the high watermark a fetch reports: Tansu's `end_offsets` are wrong.
    """
    tp = TopicPartition(topic, partition)
    while True:
        fetched = await consumer.getmany(tp, timeout_ms=200)
        records = fetched.get(tp, [])
        if records:
            yield records
        end = consumer.highwater(tp)
        if end is not None and await consumer.position(tp) >= end:
            return


async def read_all(settings: Settings, topic: str, partition: int = 0, start: int = 0) -> list[Any]:
    """Every record of a (small) partition from `start` to its end."""
    found: list[Any] = []
    async with partition_reader(settings, topic, partition, start) as consumer:
        async for records in read_batches(consumer, topic, partition):
            found.extend(records)
    return found


async def log_bounds(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
    """Oldest offset and end of a partition (leaves the consumer assigned to it)."""
    consumer.assign([tp])
    await consumer.seek_to_beginning(tp)
    start = int(await consumer.position(tp))
    while (end := consumer.highwater(tp)) is None:
        await consumer.getmany(tp, timeout_ms=100, max_records=1)
    return start, int(end)


async def read_tail(settings: Settings, topic: str, count: int, partition: int = 0) -> list[Any]:
    """The last `count` records of a partition."""
    async with partition_reader(settings, topic, partition, 0) as consumer:
        start, end = await log_bounds(consumer, TopicPartition(topic, partition))
        consumer.seek(TopicPartition(topic, partition), max(start, end - count))
        return [record async for records in read_batches(consumer, topic, partition) for record in records]
