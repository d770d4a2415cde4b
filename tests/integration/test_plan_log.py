"""The write-ahead log on real brokers: of two writers one is fenced, and both read the same history afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from spendstream.runtime.kafka.admin import apply_topics
from spendstream.runtime.kafka.plan_log import FencedError, PlanHistory, PlanLog, UsagePartition, plan_record
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.settings import Settings
from spendstream.schemas import topics
from tests.support.stack import Stack

partitions = iter(range(100))
MANY = 40


@pytest.fixture(params=[pytest.param("tansu_stack", marks=pytest.mark.embedded),
                        pytest.param("kafka_stack", marks=pytest.mark.kafka)])  # fmt: skip
def field(request: pytest.FixtureRequest) -> tuple[Settings, int]:
    """Settings, and a partition of the plan log that nobody has used."""
    stack: Stack = request.getfixturevalue(request.param)
    settings = Settings(KAFKA_BOOTSTRAP=stack.bootstrap, SPENDSTREAM_HOME=Path("/nonexistent"))
    asyncio.run(apply_topics(settings, partitions=MANY))
    return settings, next(partitions) % MANY


Writers = Callable[[], PlanLog]


def play(field: tuple[Settings, int], scenario: Callable[[Writers], Awaitable[None]]) -> None:
    """Run with a maker of writers, each of which has a connection of its own."""
    settings, partition = field

    async def run() -> None:
        publishers = [Publisher(settings) for _ in range(4)]
        await asyncio.gather(*(publisher.start() for publisher in publishers))
        fresh = iter(publishers)
        try:
            await asyncio.wait_for(scenario(lambda: PlanLog(settings, next(fresh), partition)), 60)
        finally:
            await asyncio.gather(*(publisher.stop() for publisher in publishers))

    asyncio.run(run())


def usage(incarnation: str | None = "a" * 12, start: int = 0, end: int = 1_000) -> UsagePartition:
    return UsagePartition(incarnation, start, end, 0)


def planned(first: int, last: int, incarnation: str = "a" * 12) -> dict[str, object]:
    return plan_record("range", incarnation, first, last)


def ranges(history: PlanHistory) -> list[tuple[int, int]]:
    return [(plan.first, plan.last) for plan in history.plans]


def test_an_empty_log_is_opened_where_usage_begins(field: tuple[Settings, int]) -> None:
    async def scenario(writer: Writers) -> None:
        history = await writer().load(usage(start=17))
        assert (history.incarnation, history.next_first, history.plans) == ("a" * 12, 17, [])
        again = await writer().load(usage(start=30))
        assert (again.next_first, again.end) == (17, 1)

    play(field, scenario)


def test_plans_are_read_back_with_their_places(field: tuple[Settings, int]) -> None:
    async def scenario(writer: Writers) -> None:
        log = writer()
        await log.load(usage())
        written = [await log.append(planned(first, first + 9)) for first in (0, 10, 20)]
        history = await writer().load(usage())
        assert ranges(history) == [(0, 9), (10, 19), (20, 29)]
        assert [plan.at for plan in history.plans] == [plan.at for plan in written] == [1, 2, 3]
        later = await writer().load(usage(), start=written[1].at)
        assert ranges(later) == [(10, 19), (20, 29)] and later.next_first == 30

    play(field, scenario)


def test_the_second_of_two_writers_is_fenced_and_finds_what_the_first_decided(field: tuple[Settings, int]) -> None:
    async def scenario(writer: Writers) -> None:
        old, new = writer(), writer()
        await old.load(usage())
        await new.load(usage())
        await new.append(planned(0, 14))
        with pytest.raises(FencedError):
            await old.append(planned(0, 9))
        with pytest.raises(FencedError):
            # The winner is pushed out of step by the loser's void record: it must look, and go on.
            await new.append(planned(15, 20))
        for log in (old, new):
            assert ranges(await log.load(usage())) == [(0, 14), (15, 20)]

    play(field, scenario)


def test_after_loading_again_a_fenced_writer_can_go_on(field: tuple[Settings, int]) -> None:
    async def scenario(writer: Writers) -> None:
        old, new = writer(), writer()
        await old.load(usage())
        await new.load(usage())
        await old.append(planned(0, 9))
        with pytest.raises(FencedError):
            await new.append(planned(0, 5))
        history = await new.load(usage())
        await new.append(planned(history.next_first, 30))
        with pytest.raises(FencedError):
            await old.append(planned(10, 12))
        assert ranges(await old.load(usage())) == [(0, 9), (10, 30)]

    play(field, scenario)


def test_writers_that_race_for_every_range_leave_one_history_without_gap_or_overlap(
    field: tuple[Settings, int],
) -> None:
    async def scenario(writer: Writers) -> None:
        async def write(log: PlanLog, size: int) -> int:
            history, won = await log.load(usage()), 0
            first = history.next_first
            while won < 15:
                try:
                    plan = await log.append(planned(first, first + size))
                    first, won = plan.last + 1, won + 1
                except FencedError:
                    first = (await log.load(usage())).next_first
            return won

        await writer().load(usage())
        await asyncio.gather(write(writer(), 3), write(writer(), 5))
        history = await writer().load(usage())
        edges = [0, *(plan.last + 1 for plan in history.plans)]
        assert [plan.first for plan in history.plans] == edges[:-1]
        assert len(history.plans) >= 30

    play(field, scenario)


def test_writers_that_open_an_empty_log_at_once_agree_in_the_end(field: tuple[Settings, int]) -> None:
    async def scenario(writer: Writers) -> None:
        one, other = writer(), writer()
        answers = await asyncio.gather(one.load(usage()), other.load(usage()), return_exceptions=True)
        assert all(isinstance(answer, (PlanHistory, FencedError)) for answer in answers)
        await one.load(usage())
        await one.append(planned(0, 9))
        assert ranges(await other.load(usage())) == [(0, 9)]

    play(field, scenario)


def test_a_genesis_that_arrives_late_does_not_unplan_anything(field: tuple[Settings, int]) -> None:
    async def scenario(writer: Writers) -> None:
        owner, slow = writer(), writer()
        await owner.load(usage())
        await owner.append(planned(0, 9))
        # `slow` read the log while it was empty, and its genesis arrives only now.
        with pytest.raises(FencedError):
            await slow.append(plan_record("genesis", "a" * 12, 0, -1))
        assert ranges(await owner.load(usage())) == [(0, 9)]

    play(field, scenario)


def test_a_usage_topic_that_was_created_anew_starts_an_incarnation_of_its_own(field: tuple[Settings, int]) -> None:
    async def scenario(writer: Writers) -> None:
        log = writer()
        await log.load(usage())
        await log.append(planned(0, 9))
        history = await log.load(usage("b" * 12, start=0, end=5))
        assert (history.incarnation, history.next_first, history.plans) == ("b" * 12, 0, [])
        await log.append(planned(0, 4, "b" * 12))
        assert ranges(await writer().load(usage("b" * 12))) == [(0, 4)]

    play(field, scenario)


def test_where_a_broker_has_no_topic_ids_the_length_tells(field: tuple[Settings, int]) -> None:
    async def scenario(writer: Writers) -> None:
        log = writer()
        first = await log.load(usage(None))
        await log.append(planned(0, 9, first.incarnation))
        assert (await log.load(usage(None, end=10))).incarnation == first.incarnation
        assert (await log.load(usage(None, end=9))).incarnation != first.incarnation

    play(field, scenario)


def test_the_plan_log_has_as_many_partitions_as_usage(field: tuple[Settings, int]) -> None:
    async def count(topic: str) -> int:
        publisher = Publisher(field[0])
        await publisher.start()
        try:
            return await publisher.partitions(topic)
        finally:
            await publisher.stop()

    assert topics()["attribution-plans"].partitions_of == "usage"
    assert asyncio.run(count("attribution-plans")) == asyncio.run(count("usage"))
