"""Faust transport that hands an agent one message per run of consecutive records of one partition.

Stock faust pays about four asyncio tasks a record; here that price is paid once a run (docs/performance.md has the
ladder). Registered as `chunked://host:port`. It relies on these parts of faust 0.15.3, pinned by
tests/integration/test_transport.py: `Consumer.getmany`, `_new_offset`, `_add_gap`, `perform_seek`, `_read_offset`,
`_wait_next_records`, and `AIOKafkaConsumerThread._create_worker_consumer` and `_fetch_records`.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Protocol, cast

import aiokafka
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as stock
from faust.types import TP, ConsumerMessage

from spendstream.runtime import metrics
from spendstream.runtime.kafka.bare_records import leave_records_bare

RUN_RECORDS = 60_000
FETCH_BYTES = 8 * 1024 * 1024


class Record(Protocol):
    """What a run holds: aiokafka's record, bare or copied."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


Positions = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]


class ChunkedConsumerThread(stock.AIOKafkaConsumerThread):
    """Consumer thread whose fetches linger at the broker, so that runs are long without a timer of ours."""

    _bare: Any = None  # the fetcher that hands out bare records

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        options = cast(ChunkedConsumer, self.consumer).options
        fetcher_options = {"_fetch_min_bytes": options.linger_bytes, "_fetch_max_wait_ms": options.linger_ms}
        for name, value in fetcher_options.items():
            if not hasattr(consumer, name):
                raise RuntimeError(f"aiokafka no longer has {name}: adapt ChunkedConsumerThread")
            setattr(consumer, name, value)
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        if consumer._fetcher is not self._bare:
            leave_records_bare(consumer._fetcher)
            self._bare = consumer._fetcher
        return await super()._fetch_records(consumer, *args, **kwargs)


class RunOptions:
    """How long and how large runs may get; `positions` gives the next offset of assigned partitions."""

    def __init__(self, linger_ms: int = 250, linger_bytes: int = 1_000_000, records: int = RUN_RECORDS) -> None:
        self.linger_ms = linger_ms
        self.linger_bytes = linger_bytes
        self.records = records
        self.positions: Positions | None = None


class _NotKept(dict[TP, Any]):
    """Faust's read offsets: it notes them after a run was handed on, which may be after a seek, and drops runs by them.
    `ChunkedConsumer._next` knows better."""

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: Any) -> None: ...


class ChunkedConsumer(stock.Consumer):
    """One message per run; offsets are kept by run, so gaps in the log (compaction, transactions) cost nothing."""

    @property
    def options(self) -> RunOptions:
        return cast(RunOptions, self.app.run_options)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NotKept()
        self._in_flight: dict[TP, deque[int]] = defaultdict(deque)
        #: Behind the last record that was handed on since the last seek.
        self._next: dict[TP, int] = {}
        #: Counts seeks; a run is stamped with it, so that what was fetched before a seek is not taken for what follows.
        self.seek_epoch = 0
        self._seeking = False
        #: Where the last seek put each partition; None: its beginning.
        self._sought: Mapping[TP, int | None] = {}
        self._one_seek = asyncio.Lock()
        self._seek_task: asyncio.Task[None] | None = None

    def _new_consumer_thread(self) -> ChunkedConsumerThread:
        return ChunkedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Yield runs of at most `options.records` records, partition by partition."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        with suppress(IllegalStateError):  # the partitions changed meanwhile: that rebalance seeks
            await self._until_sought()
        epoch = self.seek_epoch
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if not records or self.should_stop:
            return
        for tp, fetched in records.items():
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            end = self.highwater(tp)
            self.app.monitor.track_tp_end_offset(tp, end)
            metrics.lag_records.labels(tp.topic, str(tp.partition)).set(max(0, (end or 0) - fetched[-1].offset - 1))
            for start in range(0, len(fetched), self.options.records):
                if self._seeking or self.seek_epoch != epoch:
                    # Fetched before or behind where a seek put us, nobody knows: dropped, so read again from there.
                    with suppress(IllegalStateError):
                        await self._go_back()
                    return
                if self.app.consumer_generation_id != generation or not self.flow_active:
                    return  # a rebalance: it seeks before the flow goes on
                run = self._unread(tp, fetched[start : start + self.options.records])
                if run:
                    self._next[tp] = run[-1].offset + 1
                    self._in_flight[tp].append(run[-1].offset)
                    yield tp, self._run_message(tp, run, generation, epoch)

    def has_read(self, offsets: Mapping[tuple[str, int], int]) -> bool:
        """Whether the records at these offsets were handed on, of the partitions it holds."""
        mine = self.assignment()
        return all(self._next.get(TP(*tp), 0) > offset for tp, offset in offsets.items() if TP(*tp) in mine)

    def _unread(self, tp: TP, run: Sequence[Record]) -> Sequence[Record]:
        """Drop what was handed on already."""
        expected = self._next.get(tp, 0)
        return run if run[0].offset >= expected else [record for record in run if record.offset >= expected]

    def _run_message(self, tp: TP, run: Sequence[Record], generation: int, epoch: int) -> ConsumerMessage:
        last = run[-1]
        seconds = (last.timestamp or 0) / 1000.0
        stamp = (("seek", str(epoch).encode()),)
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, seconds, 0, stamp, None, run, None, None, None, tp,
            generation_id=generation,
        )  # fmt: skip

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps need no bookkeeping: the end of a run is the only offset that is ever committed."""

    def _new_offset(self, tp: TP) -> int | None:
        """Offset to commit: behind the last run all of whose predecessors are acknowledged."""
        in_flight, acked = self._in_flight[tp], self._acked_index[tp]
        done: int | None = None
        while in_flight and in_flight[0] in acked:
            done = in_flight.popleft()
        if done is None:
            return None
        self._acked[tp] = [offset for offset in self._acked[tp] if offset > done]
        self._acked_index[tp] = set(self._acked[tp])
        return done + 1

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, or to where the processor's own state says it stands.

        A partition of which neither is known is read from its beginning, also when some of it was fetched already:
        what was fetched across a seek is dropped. Faust gives a seek as long as a request and stands still for ever
        when it takes longer; state may. So what takes longer goes on by itself, and nothing is fetched before its end.
        """
        if self._seek_task is not None:
            self._seek_task.cancel()  # this one begins anew
        task = self._seek_task = asyncio.create_task(self._seek_once())
        try:
            await asyncio.wait({task}, timeout=self.app.conf.broker_request_timeout / 2)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done() and not task.cancelled():
            task.result()

    async def on_stop(self) -> None:
        if self._seek_task is not None:
            self._seek_task.cancel()
        await super().on_stop()

    async def _until_sought(self) -> None:
        """Wait for a seek that is under way, if there is one. Raises what it raised, but not that it was cut short."""
        if self._seek_task is not None:
            await asyncio.wait({self._seek_task})
            if not self._seek_task.cancelled():
                self._seek_task.result()

    async def _seek_once(self) -> None:
        async with self._one_seek:
            self._seeking = True  # and stays so when this is cancelled: nothing that is read then is current
            self.seek_epoch += 1
            self._forget_runs()
            committed = await self._committed()
            positions = self.options.positions
            wanted = await positions(set(committed)) if positions is not None else {}
            self._sought = {**committed, **wanted}
            # Also down to where the state stands: acks below what was committed must count again.
            self._committed_offset.update(self._sought)
            await self._seek_to_sought()
            self._forget_runs()
            self.seek_epoch += 1
            self._seeking = False

    def _forget_runs(self) -> None:
        """What was acknowledged and not committed is read again; a run that ends alike must not pass for it."""
        self._in_flight.clear()
        self._acked.clear()
        self._acked_index.clear()

    async def _committed(self) -> Mapping[TP, int | None]:
        try:
            return {TP(*tp): offset for tp, offset in (await self.seek_to_committed()).items()}
        except AssertionError as error:  # how aiokafka says that nothing is assigned
            raise IllegalStateError("no partition is assigned") from error

    async def _go_back(self) -> None:
        """Be where the last seek put us. Nothing was handed on since: what was read is not current."""
        with suppress(IllegalStateError):
            await self._until_sought()
        if self._seeking:  # it was cut short
            await self.perform_seek()
            return
        async with self._one_seek:
            if not self._seeking:
                await self._seek_to_sought()

    async def _seek_to_sought(self) -> None:
        self._next = {tp: offset or 0 for tp, offset in self._sought.items()}
        by_kafka = {stock._TopicPartition(*tp): offset for tp, offset in self._sought.items()}
        if known := {tp: offset for tp, offset in by_kafka.items() if offset is not None}:
            await self.seek_wait(known)
        if unknown := [tp for tp, offset in by_kafka.items() if offset is None]:
            await self._thread.seek_to_beginning(*unknown)

    def is_current(self, message: ConsumerMessage) -> bool:
        """False for a run that was fetched before the last seek or assignment."""
        fresh: bool = message.generation_id == self.app.consumer_generation_id
        return fresh and not self._seeking and bool(message.headers[0][1] == str(self.seek_epoch).encode())


class ChunkedTransport(stock.Transport):
    """`chunked://`: the aiokafka transport with runs instead of records."""

    Consumer: ClassVar[type[ChunkedConsumer]] = ChunkedConsumer
