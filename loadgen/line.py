"""The assembly line of a run: note the truth, pack, and hand to the producer when it is due."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from loadgen.disorder import Emission
from loadgen.incidents import Incidents
from loadgen.packing import Expected, Message, Packer
from loadgen.produce import Producer
from loadgen.scenarios import BatchSpec
from loadgen.truth import Truth, TruthFile, expected_rows, iso
from loadgen.world import SECOND

WINDOW_EVENTS = 4_000
TICK_S = 0.005


@dataclass(frozen=True)
class Progress:
    """How far a run is. `expected_events` is an estimate; `behind_s` how late the last acknowledged message was."""

    phase: str
    sent_events: int
    acknowledged_events: int
    expected_events: int
    behind_s: float


@dataclass
class Target:
    """Where a run goes. `client`: further aiokafka options. Setting `stop` ends a run early, with an exact truth."""

    bootstrap: str = "127.0.0.1:19092"
    topic: str = "usage"
    deadline_s: float = 120.0
    client: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable[[Progress], None] = lambda _: None
    stop: asyncio.Event | None = None


class Pace:
    """When things are due: event time `start` is now, and passes `speed` times as fast as the clock."""

    def __init__(self, start: int, speed: float) -> None:
        self._start, self._speed = start, speed
        self._clock_start = time.monotonic()

    def due_at(self, send_at: int) -> float:
        """Monotonic seconds at which it must leave, whether or not what came before it has left."""
        return self._clock_start + (send_at - self._start) / SECOND / self._speed

    def reached(self) -> int:
        """Event time of this moment."""
        return self._start + int((time.monotonic() - self._clock_start) * self._speed * SECOND)


class Line:
    """The assembly line: truth, packer, producer, and the pace of the current phase."""

    def __init__(self, target: Target, truth: Truth, seed: int, expected_events: int) -> None:
        self._target, self._truth, self._seed = target, truth, seed
        self._expected_events = expected_events
        self._phase = ""
        self._pace: Pace | None = None
        self._producer = Producer(target.bootstrap, target.topic, target.deadline_s, target.client, self._due_in_s)
        self._rejects: list[Expected] = []
        self._sent_events = 0
        self._waiting: list[Emission] = []
        self._started_at = now()
        self._packer: Packer | None = None

    async def __aenter__(self) -> "Line":
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    @property
    def stopped(self) -> bool:
        """True when somebody asked for an early end."""
        return self._target.stop is not None and self._target.stop.is_set()

    def begin(self, phase: str, batches: BatchSpec, pace: Pace | None = None) -> None:
        """Start a phase; without a pace it runs as fast as the broker takes it."""
        self._phase, self._pace = phase, pace
        self._packer = Packer(self._producer.partitions, self._seed, batches.share, batches.size)

    async def send(self, emissions: list[Emission]) -> None:
        """Send in order of `send_at`: when due, or gathered into windows when there is no pace."""
        self._waiting.extend(emissions)
        if self._pace is None:
            if len(self._waiting) >= WINDOW_EVENTS:
                await self._flush()
            return
        timetable = [emission.send_at for emission in self._waiting]
        done = 0
        while done < len(timetable) and not self.stopped:
            due = bisect_left(timetable, self._pace.reached() + 1, lo=done)
            if due == done:
                pause = self._pace.due_at(timetable[done]) - time.monotonic()
                await asyncio.sleep(min(max(pause, TICK_S), 0.25))
                self._report()
                continue
            for first in range(done, due, WINDOW_EVENTS):
                await self._window(self._waiting[first : min(due, first + WINDOW_EVENTS)])
            done = due
        self._waiting = []

    async def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), WINDOW_EVENTS):
            await self._window(waiting[first : first + WINDOW_EVENTS])

    async def _window(self, window: list[Emission]) -> None:
        assert self._packer is not None, "begin() comes first"
        self._truth.observe(window)
        messages = self._packer.pack(window)
        for message in messages:
            self._rejects += message.expected
        await self._producer.put(messages)
        self._sent_events += len(window)
        self._report()
        await asyncio.sleep(0)

    async def drain(self) -> None:
        """Everything sent so far is acknowledged when this returns."""
        await self._flush()
        await self._producer.drain()
        self._report()

    async def finish(self, rest: list[Emission]) -> None:
        """Send what still waits and the rest, without a pace, and drain."""
        self._pace = None
        if not self.stopped:  # after an early end the rest may repeat events that never left
            self._waiting.extend(rest)
        await self.drain()

    def _due_in_s(self, message: Message) -> float:
        return min(0.0, self._pace.due_at(message.send_at) - time.monotonic()) if self._pace else 0.0

    def _report(self) -> None:
        behind = self._producer.lag.samples[-1] if self._producer.lag.samples else 0.0
        self._target.progress(
            Progress(self._phase, self._sent_events, self._producer.acknowledged_events, self._expected_events, behind)
        )

    def file(self, run_id: str, prefix: str, seed: int, incidents: Incidents | None) -> TruthFile:
        """The truth of everything that was sent and acknowledged."""
        stories = (incidents.incidents, incidents.dropped) if incidents else ([], {})
        truth = self._truth.file(run_id, prefix, *stories)
        truth.seed = seed
        truth.started_at, truth.finished_at = iso(self._started_at), iso(now())
        truth.rejected = expected_rows(self._rejects)
        positions = sorted(self._producer.positions.items())
        truth.positions = {str(partition): asdict(position) for partition, position in positions}
        truth.sent_records = sum(position.records for _, position in positions)
        lag = self._producer.lag
        truth.schedule = {
            "seconds": round((now() - self._started_at) / SECOND, 3),
            "behind_p50_s": round(lag.percentile(0.5), 4),
            "behind_p99_s": round(lag.percentile(0.99), 4),
            "behind_worst_s": round(lag.worst_s, 4),
        }
        return truth


def now() -> int:
    """Microseconds since the epoch, by the clock."""
    return time.time_ns() // 1_000
