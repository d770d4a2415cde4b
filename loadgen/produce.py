"""Messages onto a topic: acknowledged by all, in order per partition, never silently lost, memory bounded.

Each partition has one sender that keeps one Kafka batch in flight and repeats it until it is acknowledged or the
deadline has passed. A repeat may append twice when an acknowledgement got lost; the offsets tell, and are counted.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, RequestTimedOutError

from loadgen.packing import Message

KAFKA_BATCH_BYTES = 900_000
KAFKA_BATCH_RECORDS = 5_000
BUFFER_BYTES = 16_000_000
MAX_REQUEST_BYTES = 1_048_576 + 100_000
AIOKAFKA_TIMEOUT_MS = 10_000
RETRY_PAUSE_S = 0.25
CONNECT_WITHIN_S = 3.0
LAG_SAMPLES = 20_000


class ProduceFailed(RuntimeError):
    """The broker did not take a message within the deadline, or lost the topic underneath us."""


@dataclass
class Position:
    """Where our records went in one partition. `unaccounted`: offsets between ours that are not ours."""

    first: int = -1
    last: int = -1
    records: int = 0
    unaccounted: int = 0

    def advance(self, base: int, count: int) -> None:
        """`count` records were acknowledged from offset `base`."""
        if base <= self.last:
            raise ProduceFailed(f"offsets went back from {self.last} to {base}: the topic was created anew meanwhile")
        if self.first < 0:
            self.first = base
        else:
            self.unaccounted += base - self.last - 1
        self.last = base + count - 1
        self.records += count


@dataclass
class Lag:
    """Seconds behind schedule; keeps the last LAG_SAMPLES for the percentiles."""

    worst_s: float = 0.0
    samples: deque[float] = field(default_factory=lambda: deque(maxlen=LAG_SAMPLES))

    def note(self, seconds: float) -> None:
        """One message that was due `seconds` ago."""
        self.worst_s = max(self.worst_s, seconds)
        self.samples.append(seconds)

    def percentile(self, share: float) -> float:
        """Nearest-rank percentile of the samples kept, 0.0 without any."""
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Producer:
    """`start`, `put` as often as needed (waits while the buffer is full), `drain`, `stop`."""

    def __init__(
        self,
        bootstrap: str,
        topic: str = "usage",
        deadline_s: float = 120.0,
        client: Mapping[str, Any] | None = None,
        due_in_s: Callable[[Message], float] | None = None,
    ) -> None:
        """`client`: further options of aiokafka (security). `due_in_s`: time until a message is due, for the lag."""
        self._topic = topic
        self._deadline_s = deadline_s
        self._due_in_s = due_in_s
        self._options = {
            "bootstrap_servers": bootstrap.split(","),
            "acks": "all",
            "max_batch_size": KAFKA_BATCH_BYTES,
            "max_request_size": MAX_REQUEST_BYTES,
            "request_timeout_ms": AIOKAFKA_TIMEOUT_MS,
            **(client or {}),
        }
        self._queues: list[deque[Message]] = []
        self._senders: list[asyncio.Task[None]] = []
        self._buffered_bytes = 0
        self._changed = asyncio.Condition()
        self.positions: dict[int, Position] = {}
        self.acknowledged_events = 0
        self.lag = Lag()

    @property
    def partitions(self) -> int:
        """Partitions of the topic, known after `start`."""
        return len(self._queues)

    async def start(self) -> None:
        """Connect and learn the topic's partitions; `ProduceFailed` when that takes longer than CONNECT_WITHIN_S.

        Nothing is lost yet, so there is less patience than with records that were taken over.
        """
        give_up = time.monotonic() + min(CONNECT_WITHIN_S, self._deadline_s)
        while True:
            self._kafka = AIOKafkaProducer(**self._options)
            try:
                await self._kafka.start()
                count = len(await asyncio.wait_for(self._kafka.partitions_for(self._topic), 10))
                break
            except (KafkaError, TimeoutError, OSError) as error:
                await self._kafka.stop()
                if time.monotonic() > give_up:
                    where = ",".join(self._options["bootstrap_servers"])
                    if isinstance(error, KafkaConnectionError):
                        raise ProduceFailed(f"no Kafka broker answers at {where}") from error
                    raise ProduceFailed(f"no topic {self._topic} at {where}: {error!r}") from error
                await asyncio.sleep(RETRY_PAUSE_S)
        self._queues = [deque() for _ in range(count)]
        for partition in range(count):
            sender = asyncio.create_task(self._send_all(partition), name=f"send-{partition}")
            sender.add_done_callback(self._sender_ended)  # whoever waits must hear of a failure
            self._senders.append(sender)

    async def put(self, messages: Sequence[Message]) -> None:
        """Queue messages for their partitions; waits while more than BUFFER_BYTES are unacknowledged."""
        await self._wait_until(lambda: self._buffered_bytes < BUFFER_BYTES)
        for message in messages:
            self._queues[message.partition].append(message)
            self._buffered_bytes += _size(message)
        await self._wake()

    async def drain(self) -> None:
        """Wait until everything put so far is acknowledged."""
        await self._wait_until(lambda: self._buffered_bytes == 0)

    async def stop(self) -> None:
        """Let go of the broker; what was not drained is dropped."""
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        await self._kafka.stop()

    async def _wait_until(self, ready: Callable[[], bool]) -> None:
        async with self._changed:
            while not ready():
                await self._changed.wait()
                self._raise_failures()
        self._raise_failures()

    def _raise_failures(self) -> None:
        for sender in self._senders:
            if sender.done() and not sender.cancelled() and (error := sender.exception()):
                raise error

    async def _send_all(self, partition: int) -> None:
        """The sender of one partition: a batch in flight, then the next."""
        queue = self._queues[partition]
        while True:
            async with self._changed:
                while not queue:
                    await self._changed.wait()
            batch, messages = self._batch(queue)
            base = await self._deliver(partition, batch, messages)
            self._acknowledge(partition, base, messages)
            for _ in messages:
                queue.popleft()
            await self._wake()

    def _sender_ended(self, sender: asyncio.Task[None]) -> None:
        if not sender.cancelled():
            self._last_words = asyncio.create_task(self._wake())

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _batch(self, queue: deque[Message]) -> tuple[Any, list[Message]]:
        """As many of the queue's messages as one Kafka batch takes; they stay queued until acknowledged."""
        batch = self._kafka.create_batch()
        now_ms = time.time_ns() // 1_000_000
        taken = []
        for message in islice(queue, KAFKA_BATCH_RECORDS):
            if batch.append(timestamp=now_ms, key=message.key, value=message.value) is None:
                break
            taken.append(message)
        return batch, taken

    async def _deliver(self, partition: int, batch: Any, messages: list[Message]) -> int:
        """Base offset of the acknowledged batch."""
        give_up = time.monotonic() + self._deadline_s
        while True:
            try:
                future = await self._kafka.send_batch(batch, self._topic, partition=partition)
                return int((await future).offset)
            except (KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError) as error:
                failure: Exception = error
            except KafkaError as error:
                if not error.retriable:
                    raise ProduceFailed(f"{self._topic}[{partition}]: {error!r}") from error
                failure = error
            if time.monotonic() > give_up:
                raise ProduceFailed(
                    f"{self._topic}[{partition}]: not acknowledged in {self._deadline_s:.0f} s: {failure!r}"
                )
            await asyncio.sleep(RETRY_PAUSE_S)
            batch, _ = self._batch(deque(messages))

    def _acknowledge(self, partition: int, base: int, messages: list[Message]) -> None:
        self.positions.setdefault(partition, Position()).advance(base, len(messages))
        for place, message in enumerate(messages):
            self.acknowledged_events += message.events
            self._buffered_bytes -= _size(message)
            for expected in message.expected:
                expected.offset = base + place
        if self._due_in_s:
            self.lag.note(abs(self._due_in_s(messages[0])))


def _size(message: Message) -> int:
    return len(message.key) + len(message.value or b"") + 100
