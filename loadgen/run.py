"""Scenarios and replays from beginning to end: generate, spoil, price, send, and hand back the truth.

The edge of the load generator: the only place that looks at the clock.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from loadgen.company import WorldSpec
from loadgen.disorder import CONFLICT, DUPLICATE, POISON, Disorder, Emission, Faults
from loadgen.incidents import Incidents
from loadgen.line import WINDOW_EVENTS, Line, Pace, Progress, Target, now
from loadgen.people import Record
from loadgen.pricing import Book
from loadgen.scenarios import DEFAULT_WORLD, BatchSpec, IncidentSpec, Scenario, load_world, seconds
from loadgen.truth import Truth, TruthFile, reject_reason
from loadgen.world import DAY, SECOND, World

CAUGHT_UP_S = 0.5


def new_run_id() -> str:
    """A name no other run has; event ids of the run start with it and a dash."""
    return f"run-{int(time.time()):x}-{secrets.token_hex(2)}"


async def run_scenario(
    scenario: Scenario,
    bootstrap: str = "127.0.0.1:19092",
    progress: Callable[[Progress], None] = lambda _: None,
    *,
    run_id: str = "",
    target: Target | None = None,
) -> TruthFile:
    """Produce a scenario and return its truth. Raises `ProduceFailed`, `PriceFileError`, `ScenarioError`."""
    target = target or Target(bootstrap, progress=progress)
    run_id = run_id or new_run_id()
    prefix = run_id + "-"
    world = World(scenario.world_spec(), scenario.seed, scenario.rate_per_s)
    incidents = Incidents(world, prefix)
    truth = Truth(Book.load(scenario.prices_path), incidents.touched)
    length = int(scenario.history_days * DAY + scenario.live_s * SECOND)
    expected = world.expected_events(now() - length, now())
    async with Line(target, truth, scenario.seed, expected) as line:
        play = _Play(scenario, world, incidents, line, prefix)
        await play.history()
        await play.live()
        await play.rest()
    return line.file(run_id, prefix, scenario.seed, incidents)


class _Play:
    """The two parts of a scenario; `reached` is the event time up to which everything was sent."""

    def __init__(self, scenario: Scenario, world: World, incidents: Incidents, line: Line, prefix: str) -> None:
        self._scenario, self._world, self._incidents = scenario, world, incidents
        self._disorder = Disorder(scenario.faults.faults(), scenario.seed, prefix)
        self._line, self._prefix = line, prefix
        self._start = self._live_start() - int(scenario.history_days * DAY)
        self._reached = self._start

    def _live_start(self) -> int:
        """Where the live part must begin so that it ends at the present moment when it is over."""
        live_s = self._scenario.live_s
        return now() + int((live_s / self._scenario.speed - live_s - seconds(self._scenario.ends_before)) * SECOND)

    async def history(self) -> None:
        """Everything before the live part, at full speed, and again what passed meanwhile until caught up."""
        specs = self._scenario.incidents
        end = self._live_start()
        early = [spec for spec in specs if not spec.in_live or not self._scenario.live_s]
        self._incidents.add(spec.incident({"start": self._start, "live": end, "end": end}) for spec in early)
        if not self._scenario.history_days:
            return
        self._line.begin("history", self._scenario.history_batches)
        while self._scenario.live_s and not self._line.stopped:
            await self._fast(self._live_start())
            await self._line.drain()
            if self._live_start() - self._reached < CAUGHT_UP_S * SECOND:
                return
        await self._fast(end)

    async def _fast(self, end: int) -> None:
        for emissions in self._emissions(end):
            if self._line.stopped:
                return
            await self._line.send(emissions)

    async def live(self) -> None:
        """The live part at its speed."""
        if not self._scenario.live_s or self._line.stopped:
            return
        start = self._reached
        end = start + int(self._scenario.live_s * SECOND)
        anchors = {"start": self._start, "live": start, "end": end}
        self._incidents.add(spec.incident(anchors) for spec in self._scenario.incidents if spec.in_live)
        self._line.begin("live", self._scenario.batches, Pace(start, self._scenario.speed))
        for emissions in self._emissions(end):
            await self._line.send(emissions)
            if self._line.stopped:
                return

    async def rest(self) -> None:
        """What was held back to leave late."""
        await self._line.finish(self._disorder.flush())

    def _emissions(self, end: int) -> Iterator[list[Emission]]:
        for since, until, records in self._world.events(self._reached, end, self._prefix):
            self._reached = until
            yield self._disorder.feed(until, self._incidents.apply(since, until, records))


@dataclass(frozen=True)
class Replay:
    """How recorded usage is sent again.

    `speed` None: as fast as possible. `shift_to_now`: its last event occurs when it is sent, else times stay.
    `batch` 0: single records, else producer-side batches of that size.
    """

    records: list[Record]
    book: Book
    seed: int = 1
    speed: float | None = None
    shift_to_now: bool = True
    batch: int = 0
    faults: Faults = field(default_factory=Faults)
    incidents: tuple[IncidentSpec, ...] = ()
    world: WorldSpec | None = None


async def replay(plan: Replay, target: Target, run_id: str = "") -> TruthFile:
    """Send recorded usage (in order of time) and return its truth. Event ids get the run's prefix."""
    run_id = run_id or new_run_id()
    prefix = run_id + "-"
    records = _shifted(plan, prefix)
    truth = Truth(plan.book)
    disorder = Disorder(plan.faults, plan.seed, prefix)
    async with Line(target, truth, plan.seed, len(records)) as line:
        pace = Pace(records[0]["occurred_at"], plan.speed) if plan.speed and records else None
        line.begin("replay", BatchSpec(share=1.0, size=plan.batch) if plan.batch else BatchSpec(), pace)
        for emissions in _replayed(records, disorder):
            await line.send(emissions)
            if line.stopped:
                break
        await line.finish(disorder.flush())
    return line.file(run_id, prefix, plan.seed, None)


def _shifted(plan: Replay, prefix: str) -> list[Record]:
    """Copies in order of time, moved so that the last one occurs when it is sent."""
    if not plan.records:
        return []
    ordered = _with_incidents(plan, sorted(plan.records, key=lambda record: record["occurred_at"]))
    first, last = ordered[0]["occurred_at"], ordered[-1]["occurred_at"]
    wall = (last - first) / plan.speed if plan.speed else 0
    shift = now() + int(wall) - last if plan.shift_to_now else 0
    return [{**r, "event_id": prefix + r["event_id"], "occurred_at": r["occurred_at"] + shift} for r in ordered]


def _with_incidents(plan: Replay, ordered: list[Record]) -> list[Record]:
    """The records with the plan's incidents in them; their moments count from the first record (`start`)."""
    if not plan.incidents:
        return ordered
    first, end = ordered[0]["occurred_at"], ordered[-1]["occurred_at"] + 1
    incidents = Incidents(World(plan.world or load_world(DEFAULT_WORLD), plan.seed), "")
    incidents.add(spec.incident({"start": first, "live": first, "end": end}) for spec in plan.incidents)
    return incidents.apply(first, end, [dict(record) for record in ordered])


def _replayed(records: list[Record], disorder: Disorder) -> Iterator[list[Emission]]:
    """A file may repeat or contradict itself and hold what cannot be billed; that is said of each record."""
    seen: dict[tuple[str, str], int] = {}
    for start in range(0, len(records), WINDOW_EVENTS):
        window = records[start : start + WINDOW_EVENTS]
        clean, odd = [], []
        for record in window:
            key, content = (record["org"], record["event_id"]), _content(record)
            if reason := reject_reason(record):
                odd.append(Emission(record["occurred_at"], POISON, record, key[1], reason, reason))
            elif key not in seen:
                seen[key] = content
                clean.append(record)
            elif seen[key] == content:
                odd.append(Emission(record["occurred_at"], DUPLICATE, record, key[1]))
            else:
                odd.append(Emission(record["occurred_at"], CONFLICT, record, key[1], CONFLICT, CONFLICT))
        until = window[-1]["occurred_at"] + 1
        yield sorted(disorder.feed(until, clean) + odd, key=lambda emission: emission.send_at)


def _content(record: Record) -> int:
    return hash(tuple(sorted((name, str(value)) for name, value in record.items())))
