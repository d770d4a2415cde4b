"""The one consume loop: runs of records go to a processor, partition by partition, and are acknowledged when done."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import faust
import structlog
from aiokafka.errors import IllegalStateError
from faust.types import TP

from spendstream.runtime.kafka.transport import Record, RunOptions
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.settings import Settings

log = structlog.get_logger()
RUNS_AHEAD = 2
STOP_WITHIN_S = 15
LOST_EVERY_S = 4.0

#: Why the state of the assigned partitions no longer holds; None while it does.
Lost = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True)
class Run:
    """Consecutive records of one partition; offsets may have gaps inside."""

    topic: str
    partition: int
    records: Sequence[Record]

    @property
    def first(self) -> int:
        return self.records[0].offset

    @property
    def last(self) -> int:
        return self.records[-1].offset

    def after(self, offset: int) -> "Run | None":
        """The part behind `offset`; None when nothing is left."""
        if self.first > offset:
            return self
        rest = [record for record in self.records if record.offset > offset]
        return Run(self.topic, self.partition, rest) if rest else None


class StateLostError(Exception):
    """What this worker believes of a partition is no longer true (another worker wrote): load it again."""


class Processor(Protocol):
    """What a service plugs into the loop. State belongs to partitions; the processor says where to go on reading."""

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        """Load the state of these partitions; return the next offset to read where the state knows it."""

    async def revoked(self) -> None:
        """Forget all partitions: another worker may own them now."""

    async def process(self, run: Run) -> None:
        """Do everything a run asks for; returning means it may be committed. `NotNowError` = call again."""


class ConsumeLoop:
    """Delivers runs to a processor: in order within a partition, partitions side by side, nothing skipped.

    A run that raises anything but `NotNowError` stops the whole service uncommitted: faust's default would
    acknowledge it and go on.
    """

    def __init__(self, app: faust.App, processor: Processor, lost: Lost | None = None) -> None:
        self._app = app
        self._processor = processor
        self._lost = lost
        self._watch: asyncio.Task[None] | None = None
        self._lanes: dict[TP, asyncio.Queue[Any]] = {}
        self._workers: dict[TP, asyncio.Task[None]] = {}
        self._lock = asyncio.Lock()
        self._reload: asyncio.Task[None] | None = None
        #: True once partitions (perhaps none) were assigned and their state loaded.
        self.ready = False
        self._busy = 0

    @property
    def is_idle(self) -> bool:
        """Whether no run is queued or under way."""
        return not self._busy and all(lane.empty() for lane in self._lanes.values())

    async def deliver(self, event: Any) -> None:
        """Queue one run for its partition; waits while the partition is `RUNS_AHEAD` runs behind."""
        tp = event.message.tp
        lane = self._lanes.get(tp)
        if lane is not None and self._app.consumer.is_current(event.message):
            await lane.put(event)

    async def positions(self, assigned: set[TP]) -> Mapping[TP, int]:
        """Called by the transport after each assignment: drop what ran before, load state, say where to read."""
        async with self._lock:
            await self.halt()
            mine = {tp for tp in assigned if self._app.topics.acks_enabled_for(tp.topic)}
            # Fenced while loading: another worker opened the same log; what it wrote is read the next time.
            again = (NotNowError, StateLostError)
            wanted = await retrying("loading state", lambda: self._processor.assigned(mine), retry_on=again)
            for tp in mine:
                self._lanes[tp] = asyncio.Queue(RUNS_AHEAD)
                self._workers[tp] = asyncio.create_task(self._work(tp, self._lanes[tp]))
            self.ready = True
            if self._lost is not None and self._watch is None:
                self._watch = asyncio.create_task(self._watch_for_ever(self._lost))
            return wanted

    async def close(self) -> None:
        """Stop for good."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self.halt()

    async def _watch_for_ever(self, lost: Lost) -> None:
        """Ask every few seconds: a topic that was created anew may never deliver a run that tells."""
        while True:
            await asyncio.sleep(LOST_EVERY_S)
            try:
                reason = await lost()
            except NotNowError as error:
                log.info("cannot tell whether topics are the same", error=str(error)[:200])
                continue
            if reason is not None:
                log.warning("state is loaded again", reason=reason)
                await self._load_again()

    async def halt(self) -> None:
        """Stop all partitions where they stand and forget their state."""
        workers, lanes = list(self._workers.values()), list(self._lanes.values())
        self._lanes.clear()
        self._workers.clear()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        for lane in lanes:  # makes room: `deliver` may be waiting for it, and it delivers for all partitions
            while not lane.empty():
                lane.get_nowait()
        await self._processor.revoked()

    async def _load_again(self) -> None:
        """A task of its own: it ends the workers, so none of them may run it."""
        try:
            await self._app.consumer.perform_seek()
        except IllegalStateError:
            log.info("partitions changed while state was loaded: the rebalance loads it")
        except Exception as error:
            log.critical("state cannot be loaded again", exc_info=True)
            await self._stop_service(error)

    async def _stop_service(self, error: BaseException) -> None:
        """End the process with an error, whatever faust still waits for."""
        asyncio.get_running_loop().call_later(STOP_WITHIN_S, os._exit, 1)
        await self._app.crash(error)

    async def _work(self, tp: TP, lane: asyncio.Queue[Any]) -> None:
        while True:
            event = await lane.get()
            run = Run(tp.topic, tp.partition, event.value)
            self._busy += 1
            try:
                process = partial(self._processor.process, run)
                await retrying(f"{tp.topic}/{tp.partition}", process, retry_on=(NotNowError,))
            except asyncio.CancelledError:
                raise
            except StateLostError as error:
                log.warning("state is loaded again", topic=tp.topic, partition=tp.partition, reason=str(error))
                self._reload = asyncio.create_task(self._load_again())
                return
            except BaseException as error:
                log.critical(
                    "stopped uncommitted", topic=tp.topic, partition=tp.partition, offset=run.first, exc_info=True
                )
                await self._stop_service(error)
                return
            finally:
                self._busy -= 1
            event.ack()


def build_app(
    settings: Settings,
    group: str,
    topics: Sequence[str],
    processor: Processor,
    options: RunOptions | None = None,
    lost: Lost | None = None,
) -> faust.App:
    """Faust app of one consumer group: reads `topics` in runs and hands them to `processor`.

    `lost` is asked every few seconds; a reason makes all partitions be loaded again.
    """
    options = options or RunOptions(linger_ms=settings.linger_ms, records=settings.batch_records)
    app = faust.App(
        group,
        broker=[f"chunked://{host}" for host in settings.kafka_bootstrap.split(",")],
        broker_credentials=credentials(settings),
        broker_session_timeout=settings.kafka_session_timeout_ms / 1000,
        broker_heartbeat_interval=min(1.0, settings.kafka_session_timeout_ms / 3000),
        broker_commit_interval=1.0,
        consumer_metadata_max_age_ms=10_000,  # a topic that was deleted and created again is assigned anew within that
        broker_max_poll_records=max(settings.batch_records, options.records),
        consumer_max_fetch_size=8 * 1024 * 1024,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=16,
        store="memory://",
        web_enabled=False,
        datadir=str(settings.service_home(group) / "faust"),
    )
    app.run_options = options
    loop = app.consume_loop = ConsumeLoop(app, processor, lost)
    options.positions = loop.positions
    channel = app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(channel, name=f"{group}-runs")
    async def runs(stream: Any) -> None:
        async for event in stream.noack().events():
            await loop.deliver(event)

    async def stopped(*_: Any, **__: Any) -> None:
        await loop.halt()

    async def given(_: Any, assigned: set[TP], **__: Any) -> None:
        # Faust asks for positions only where there is something to seek in: a spare worker is ready as it is.
        if not assigned:
            loop.ready = True

    app.on_partitions_assigned.connect(given, weak=False)

    async def closed(*_: Any, **__: Any) -> None:
        await loop.close()

    app.on_partitions_revoked.connect(stopped, weak=False)
    app.on_before_shutdown.connect(closed, weak=False)
    return app


def credentials(settings: Settings) -> Any:
    """Faust's form of the connection's credentials; None for plaintext."""
    options = settings.kafka()
    if settings.kafka_security_protocol == "SSL":
        return faust.SSLCredentials(options["ssl_context"])
    if settings.kafka_security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value() if settings.kafka_password else None,
            ssl_context=options.get("ssl_context"),
            mechanism=settings.kafka_sasl_mechanism,
        )
    return None
