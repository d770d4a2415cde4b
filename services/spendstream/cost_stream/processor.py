"""The processor behind budgets, anomalies and recommendations."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import orjson
import structlog
from faust.types import TP

from spendstream.cost_stream.differences import deltas
from spendstream.cost_stream.engine import Emissions, Engine
from spendstream.domain.differences import Differences
from spendstream.runtime import clock, metrics
from spendstream.runtime.kafka.consume import Run
from spendstream.runtime.kafka.incarnations import TopicIds, end_of, merged, recreated, topic_ids
from spendstream.runtime.kafka.publisher import org_partition
from spendstream.runtime.kafka.reader import read_all
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.service import Context
from spendstream.schemas import decode

log = structlog.get_logger()
SNAPSHOT_EVERY_S = 5.0
TICK_EVERY_S = 1.0
VERSION = 2
TOPIC = "costs"


E = TypeVar("E", bound=Engine)
#: Whether an organisation's costs come through a lane.
Owns = Callable[[str], bool]


def _owns(partition: int, partitions: int, org: str) -> bool:
    return org_partition(org, partitions) == partition


class Lane(Generic[E]):
    """One partition of `costs`: differences, engine and where they stand."""

    def __init__(self, engine: E, differences: Differences, path: Path) -> None:
        self.engine, self.differences, self.path = engine, differences, path
        self.applied = -1
        #: End of the partition when the lane was loaded; None once it has been reached.
        self.behind_until: int | None = 0
        #: Next offset of each recalled topic that the snapshot does not include.
        self.recalled: dict[str, int] = dict.fromkeys(engine.recalls, 0)
        #: Topics the offsets above are of.
        self.topics: dict[str, str | None] = {}
        self.lock = asyncio.Lock()
        #: False while something has been taken but not all of what follows from it is published: no time to save.
        self.whole = True
        self.saved_at = time.monotonic()
        self.saved_applied = -1

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """One change at a time; a change that is cut short leaves the lane unfit to be saved."""
        async with self.lock:
            self.whole = False
            yield
            self.whole = True

    def save(self) -> None:
        """Replace the snapshot atomically."""
        snapshot = {
            "version": VERSION,
            "applied": self.applied,
            "recalled": self.recalled,
            "topics": self.topics,
            "differences": self.differences.snapshot(),
            "engine": self.engine.snapshot(),
        }
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(snapshot, option=orjson.OPT_NON_STR_KEYS))
        fresh.replace(self.path)
        self.saved_at, self.saved_applied = time.monotonic(), self.applied

    def load(self) -> bool:
        """Take up the snapshot; False when there is none that can be read."""
        try:
            snapshot = orjson.loads(self.path.read_bytes())
            if snapshot["version"] != VERSION:
                return False
            self.differences.restore(snapshot["differences"])
            self.engine.restore(snapshot["engine"])
        except Exception as error:  # whatever is wrong with the file, the topic has it all
            if self.path.exists():
                log.warning("snapshot cannot be read: rebuilding from costs", path=self.path.name, error=repr(error))
            return False
        self.applied, self.recalled = snapshot["applied"], {**self.recalled, **snapshot["recalled"]}
        self.topics = snapshot["topics"]
        self.saved_applied = self.applied
        return True

    def follow(self, now: TopicIds, end: int) -> None:
        """Forget the offsets of topics that were created anew: what was counted stays counted, and the new topic is
        read from its start. `end`: the partition's; where a broker has no topic ids, only that tells.
        """
        gone = recreated(self.topics, now)
        if self.applied >= end:
            gone |= {TOPIC, *self.recalled}
        if TOPIC in gone:
            log.warning("costs was created anew: read from its start", path=self.path.name, applied=self.applied)
            self.applied = -1
        self.recalled = {topic: 0 if topic in gone else start for topic, start in self.recalled.items()}
        self.topics = merged(self.topics, now)


class KeyedProcessor(Generic[E]):
    """Runs one engine per assigned partition of `costs`; an engine is made with what it owns and the number of
    partitions of `usage` its rows may come from."""

    def __init__(self, context: Context, make_engine: Callable[[Owns, int], E]) -> None:
        self._context = context
        self._make_engine = make_engine
        self._lanes: dict[int, Lane[E]] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._keep_us = (context.settings.allowed_lateness_s + 7_200) * 1_000_000
        context.control.on_change(self._control_changed)
        self._control_new = asyncio.Event()

    @property
    def engines(self) -> list[E]:
        """Engines of the partitions this worker owns."""
        return [lane.engine for lane in self._lanes.values()]

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        positions: dict[TP, int] = {}
        count = await self._context.publisher.partitions(TOPIC)
        usage = await self._context.publisher.partitions("usage")
        topics = await self._topic_ids()
        for tp in partitions:
            if tp.topic != TOPIC:
                continue
            path = self._context.settings.service_home(self._context.service) / f"costs-{tp.partition}.json"
            owns = partial(_owns, tp.partition, count)
            lane = self._lane(owns, usage, path)
            if not lane.load():
                lane = self._lane(owns, usage, path)
            end = await self._end(tp)
            lane.follow({topic: topics.get(topic) for topic in (TOPIC, *lane.recalled)}, end)
            await self._recall(lane)
            await self._publish(lane.engine.control(self._context.control.log, clock.now_us()))
            lane.behind_until = end
            await self._notice_caught_up(lane)
            self._lanes[tp.partition] = lane
            positions[tp] = lane.applied + 1
            log.info("partition loaded", partition=tp.partition, position=lane.applied + 1)
        self._ticking = asyncio.create_task(self._tick_for_ever())
        return positions

    def _lane(self, owns: Owns, usage_partitions: int, path: Path) -> Lane[E]:
        return Lane(self._make_engine(owns, usage_partitions), Differences(self._keep_us), path)

    async def revoked(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        for lane in self._lanes.values():
            if lane.whole and lane.applied != lane.saved_applied:
                lane.save()
        self._lanes.clear()

    async def process(self, run: Run) -> None:
        lane = self._lanes[run.partition]
        fresh = run.after(lane.applied)
        if fresh is None:
            return
        started = time.perf_counter()
        async with lane.changing():
            changed = await asyncio.to_thread(deltas, lane.differences, fresh.records)
            if changed.height:
                emissions = await asyncio.to_thread(lane.engine.update, changed, clock.now_us())
                await self._publish(emissions)
            lane.applied = fresh.last
            await self._notice_caught_up(lane)
        metrics.batch_seconds.labels("whole").observe(time.perf_counter() - started)
        if time.monotonic() - lane.saved_at > SNAPSHOT_EVERY_S:
            async with lane.lock:
                await asyncio.to_thread(lane.save)

    async def _notice_caught_up(self, lane: Lane[E]) -> None:
        if lane.behind_until is not None and lane.applied + 1 >= lane.behind_until:
            lane.behind_until = None
            await self._publish(lane.engine.caught_up(clock.now_us()))

    async def _end(self, tp: TP) -> int:
        return await end_of(self._context.settings, tp.topic, tp.partition)

    async def _topic_ids(self) -> dict[str, str | None]:
        recalls = self._make_engine(lambda _: False, 1).recalls
        return await topic_ids(self._context.settings, (TOPIC, *recalls))

    async def lost(self) -> str | None:
        """Why the lanes must be loaded again: `costs` is another topic than the one they have read."""
        if not self._lanes:
            return None
        now = await topic_ids(self._context.settings, (TOPIC,))
        if any(TOPIC in recreated(lane.topics, now) for lane in self._lanes.values()):
            return "costs was created anew"
        return None

    async def _publish(self, emissions: Emissions) -> None:
        for topic, messages in emissions.topics.items():
            if messages:
                send = partial(self._context.publisher.send, topic, messages)
                await retrying(f"publishing to {topic}", send, retry_on=(NotNowError,))

    async def _recall(self, lane: Lane[E]) -> None:
        """Read back what was published behind the snapshot."""
        for topic, start in lane.recalled.items():
            records = [record for record in await read_all(self._context.settings, topic, 0, start) if record.value]
            if records:
                lane.engine.recall(topic, [decode(record.value)[1] for record in records])
                lane.recalled[topic] = records[-1].offset + 1

    async def _tick_for_ever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._control_new.wait(), TICK_EVERY_S)
            changed, now = self._control_new.is_set(), clock.now_us()
            self._control_new.clear()
            for lane in list(self._lanes.values()):
                async with lane.changing():
                    if changed:
                        await self._publish(lane.engine.control(self._context.control.log, now))
                    await self._publish(lane.engine.tick(now))

    def _control_changed(self) -> None:
        self._control_new.set()
