"""The consume loop: in order, nothing skipped, never stuck, and a failure is loud."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from spendstream.runtime.kafka import consume as module
from spendstream.runtime.kafka.consume import RUNS_AHEAD, ConsumeLoop, Run, StateLostError
from spendstream.runtime.retry import NotNowError

ONE, TWO = TP("usage", 0), TP("usage", 1)
SOON_S = 20.0


class App:
    """As much of faust's app as the loop touches."""

    def __init__(self) -> None:
        self.crashed: list[BaseException] = []
        self.seeks = 0
        self.on_seek: Callable[[], Awaitable[Any]] | None = None
        self.consumer = SimpleNamespace(is_current=lambda message: True, perform_seek=self._seek)
        self.topics = SimpleNamespace(acks_enabled_for=lambda topic: True)

    async def _seek(self) -> None:
        self.seeks += 1
        if self.on_seek is not None:
            await self.on_seek()

    async def crash(self, error: BaseException) -> None:
        self.crashed.append(error)


class Recorder:
    """A processor that notes what it is given and can be told to wait or to fail."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failures: list[BaseException] = []
        self.held: set[TP] = set()

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        self.held = set(partitions)
        return {}

    async def revoked(self) -> None:
        self.held = set()

    async def process(self, run: Run) -> None:
        await self.go_on.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append((run.partition, run.last))


class Event:
    def __init__(self, tp: TP, offset: int) -> None:
        self.message = SimpleNamespace(tp=tp)
        self.value = [SimpleNamespace(offset=offset)]
        self.acked = False

    def ack(self) -> None:
        self.acked = True


def scenario(play: Callable[[App, Recorder, ConsumeLoop], Awaitable[None]]) -> None:
    async def run() -> None:
        app, recorder = App(), Recorder()
        loop = ConsumeLoop(app, recorder)  # type: ignore[arg-type]
        await loop.positions({ONE, TWO})
        await asyncio.wait_for(play(app, recorder, loop), 10 * SOON_S)
        await loop.halt()

    asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not holds():
            await asyncio.sleep(0)


def test_runs_of_a_partition_keep_their_order_and_are_acknowledged() -> None:
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        events = [Event(ONE, offset) for offset in range(20)]
        for event in events:
            await loop.deliver(event)
        await until(lambda: events[-1].acked)
        assert recorder.taken == [(0, offset) for offset in range(20)]

    scenario(play)


def test_a_partition_that_waits_does_not_hold_up_the_other_before_its_room_is_full() -> None:
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        recorder.go_on.clear()
        for offset in range(RUNS_AHEAD):
            await asyncio.wait_for(loop.deliver(Event(ONE, offset)), SOON_S)
        await asyncio.wait_for(loop.deliver(Event(TWO, 0)), SOON_S)

    scenario(play)


def test_not_now_is_tried_again_and_nothing_is_acknowledged_meanwhile() -> None:
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        recorder.failures = [NotNowError("away"), NotNowError("away")]
        event = Event(ONE, 7)
        await loop.deliver(event)
        await asyncio.sleep(0.05)
        assert not event.acked
        await until(lambda: event.acked)
        assert recorder.taken == [(0, 7)] and not app.crashed

    scenario(play)


def test_any_other_error_stops_the_service_unacknowledged() -> None:
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        recorder.failures = [ValueError("a bug")]
        first, second = Event(ONE, 1), Event(ONE, 2)
        await loop.deliver(first)
        await loop.deliver(second)
        await until(lambda: bool(app.crashed))
        await asyncio.sleep(0.02)
        assert not first.acked and not second.acked and recorder.taken == []

    scenario(play)


def test_lost_state_is_loaded_again_and_the_run_stays_unacknowledged() -> None:
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        recorder.failures = [StateLostError("fenced")]
        event = Event(ONE, 1)
        await loop.deliver(event)
        await until(lambda: app.seeks == 1)
        assert not event.acked and not app.crashed

    scenario(play)


def test_state_that_cannot_be_loaded_again_stops_the_service_loudly() -> None:
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        async def fails() -> None:
            raise StateLostError("fenced while loading")

        app.on_seek, recorder.failures = fails, [StateLostError("fenced")]
        await loop.deliver(Event(ONE, 1))
        await until(lambda: bool(app.crashed))

    scenario(play)


def test_runs_of_a_partition_that_is_not_ours_are_dropped() -> None:
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        await asyncio.wait_for(loop.deliver(Event(TP("usage", 9), 1)), SOON_S)
        app.consumer.is_current = lambda message: False
        await asyncio.wait_for(loop.deliver(Event(ONE, 1)), SOON_S)
        await asyncio.sleep(0.02)
        assert recorder.taken == []

    scenario(play)


def test_a_delivery_that_waits_for_room_ends_when_the_partitions_are_taken_away() -> None:
    # There is one delivering task for all partitions: were it left waiting on a queue that nobody empties any more,
    # nothing would be delivered after a rebalance under load.
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        recorder.go_on.clear()

        async def deliver_all() -> None:
            for offset in range(RUNS_AHEAD + 5):
                await loop.deliver(Event(ONE, offset))

        delivering = asyncio.create_task(deliver_all())
        await asyncio.sleep(0.05)
        assert not delivering.done()
        await loop.positions({ONE, TWO})
        recorder.go_on.set()
        await asyncio.wait_for(delivering, SOON_S)

    scenario(play)


def test_after_a_new_assignment_only_the_new_partitions_are_worked_on() -> None:
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        await loop.positions({TWO})
        assert recorder.held == {TWO}
        await loop.deliver(Event(ONE, 1))
        await loop.deliver(Event(TWO, 2))
        await until(lambda: bool(recorder.taken))
        assert recorder.taken == [(1, 2)]

    scenario(play)


def test_a_run_that_was_under_way_at_a_new_assignment_is_not_acknowledged() -> None:
    async def play(app: App, recorder: Recorder, loop: ConsumeLoop) -> None:
        recorder.go_on.clear()
        event = Event(ONE, 1)
        await loop.deliver(event)
        await asyncio.sleep(0.02)
        await loop.positions({ONE})
        recorder.go_on.set()
        await asyncio.sleep(0.02)
        assert not event.acked and recorder.taken == []

    scenario(play)


def test_the_part_of_a_run_behind_an_offset() -> None:
    run = Run("usage", 0, [SimpleNamespace(offset=offset) for offset in (3, 4, 9)])  # type: ignore[misc]
    assert run.after(2) is run
    part = run.after(4)
    assert part is not None and (part.first, part.last) == (9, 9)
    assert run.after(9) is None


def test_partitions_are_loaded_again_when_the_processor_hears_that_a_topic_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOST_EVERY_S", 0.001)

    async def run() -> None:
        app, answers = App(), [NotNowError("away"), None, "created anew", None]

        async def lost() -> str | None:
            answer = answers.pop(0) if answers else None
            if isinstance(answer, NotNowError):
                raise answer
            return answer

        loop = ConsumeLoop(app, Recorder(), lost)  # type: ignore[arg-type]
        await loop.positions({ONE})
        await until(lambda: not answers)
        await loop.close()
        assert app.seeks == 1 and not app.crashed

    asyncio.run(run())
