"""The one producer of a service: acks from all replicas, bounded, retried by the client."""

import asyncio
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, RequestTimedOutError
from aiokafka.producer.message_accumulator import BatchBuilder

from spendstream.runtime.retry import NotNowError
from spendstream.runtime.settings import Settings

Message = tuple[bytes | None, bytes | None]
#: So many messages are packed beside the event loop.
MANY = 2_000


class Publisher:
    """Sends messages and returns once the broker has acknowledged all of them.

    Results never depend on idempotent or transactional producing: what is sent twice carries the same identity.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        #: Offset of the newest record (or, of a batch, its first) that was sent, by topic and partition.
        self.newest: dict[tuple[str, int], int] = {}

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(
            **self._settings.kafka(),
            acks="all",
            linger_ms=2,
            max_batch_size=512 * 1024,
            max_request_size=8 * 1024 * 1024,
            compression_type="zstd",  # aiokafka compresses lz4 at level 9: a third of the speed, and larger
            request_timeout_ms=20_000,
        )
        await self._producer.start()

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    @property
    def producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("Publisher.start() has not been awaited")
        return self._producer

    async def partitions(self, topic: str) -> int:
        """Number of partitions of a topic."""
        return len(await self.producer.partitions_for(topic))

    async def send(self, topic: str, messages: Iterable[Message], partition: int | None = None) -> int:
        """Send `(key, value)` pairs in order to one topic; returns how many. Raises `NotNowError`."""
        pending: list[asyncio.Future[Any]] = []
        count = 0
        try:
            if partition is None:
                for count, (key, value) in enumerate(messages, 1):  # noqa: B007 - the count is returned
                    pending.append(await self.producer.send(topic, value=value, key=key))
            else:
                count = await self._pack(topic, partition, messages, pending)
            if pending:
                self._note_sent(await asyncio.gather(*pending))
        except (KafkaError, RequestTimedOutError, OSError) as error:
            for future in pending:
                future.cancel()
            raise NotNowError(f"publishing to {topic}: {error!r}") from error
        return count

    def _note_sent(self, sent: Iterable[Any]) -> None:
        for record in sent:
            place = (record.topic, record.partition)
            self.newest[place] = max(self.newest.get(place, -1), record.offset)

    async def _pack(
        self, topic: str, partition: int, messages: Iterable[Message], pending: list[asyncio.Future[Any]]
    ) -> int:
        """Whole batches for one partition, built here: a send for each message costs more than the message."""
        every = list(messages)
        packed = self._packed(every) if len(every) < MANY else await asyncio.to_thread(self._packed, every)
        for batch in packed:
            if isinstance(batch, BatchBuilder):
                pending.append(await self.producer.send_batch(batch, topic, partition=partition))
            else:
                key, value = batch
                pending.append(await self.producer.send(topic, value=value, key=key, partition=partition))
        return len(every)

    def _packed(self, messages: Iterable[Message]) -> list[BatchBuilder | Message]:
        """The messages in batches, in order; one that is larger than a batch by itself."""
        packed: list[BatchBuilder | Message] = []
        batch = self.producer.create_batch()
        for key, value in messages:
            if batch.append(key=key, value=value, timestamp=None) is not None:
                continue
            packed.append(batch)
            batch = self.producer.create_batch()
            if batch.append(key=key, value=value, timestamp=None) is None:
                packed.append((key, value))
        packed.append(batch)
        return [each for each in packed if not isinstance(each, BatchBuilder) or each.record_count()]

    async def append(self, topic: str, partition: int, value: bytes) -> int:
        """Send one record and return the offset it got."""
        try:
            metadata = await self.producer.send_and_wait(topic, value=value, partition=partition)
        except (KafkaError, OSError) as error:
            raise NotNowError(f"appending to {topic}/{partition}: {error!r}") from error
        return int(metadata.offset)


@lru_cache(maxsize=10_000)
def org_partition(org: str, partitions: int) -> int:
    """Partition of `costs` for an organisation: all its rows meet in one place, in order."""
    return zlib.crc32(org.encode()) % partitions
