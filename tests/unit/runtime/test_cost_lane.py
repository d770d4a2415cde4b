"""A lane on `costs`: whatever interrupts it, what its snapshot says was said has been said, and no row is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from faust.types import TP

from spendstream.cost_stream import processor as module
from spendstream.cost_stream.engine import Emissions
from spendstream.cost_stream.processor import KeyedProcessor
from spendstream.domain.rollups import SUMS
from spendstream.runtime.control import ControlLog
from spendstream.runtime.kafka.consume import Run
from spendstream.runtime.kafka.publisher import Message
from spendstream.runtime.retry import NotNowError
from spendstream.schemas import encode

COSTS = TP("costs", 0)
SOON_S = 20.0


class Tally:
    """An engine that adds costs up and says each whole ten once."""

    recalls = ()

    def __init__(self) -> None:
        self.total = self.said = 0

    def update(self, deltas: pl.DataFrame, now: int) -> Emissions:
        self.total += int(deltas["cost_pico_usd"].sum())
        found: list[Message] = []
        while self.said < self.total // 10:
            self.said += 1
            found.append((b"tens", str(self.said).encode()))
        return Emissions({"alerts": found})

    def tick(self, now: int) -> Emissions:
        return Emissions()

    def control(self, log: ControlLog, now: int) -> Emissions:
        return Emissions()

    def caught_up(self, now: int) -> Emissions:
        return Emissions()

    def recall(self, topic: str, records: Sequence[Mapping[str, Any]]) -> None:
        raise AssertionError("nothing is recalled here")

    def snapshot(self) -> dict[str, Any]:
        return {"total": self.total, "said": self.said}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.total, self.said = snapshot["total"], snapshot["said"]


class Broker:
    """As much of the publisher as a lane touches; `away` makes it wait."""

    def __init__(self) -> None:
        self.sent: list[bytes | None] = []
        self.away = False
        self.asked = asyncio.Event()

    async def partitions(self, topic: str) -> int:
        return 1

    async def send(self, topic: str, messages: Iterable[Message], partition: int | None = None) -> int:
        self.asked.set()
        if self.away:
            raise NotNowError("away")
        values = [value for _, value in messages]
        self.sent += values
        return len(values)


class Offline(KeyedProcessor[Tally]):
    """Without a broker there is no end to ask for: it is further on, unless a test says otherwise."""

    end, topic_id = 1_000_000, "a"

    async def _end(self, tp: TP) -> int:
        return self.end

    async def _topic_ids(self) -> dict[str, str | None]:
        return {"costs": self.topic_id or None}


def processor(home: Path, broker: Broker) -> Offline:
    settings = SimpleNamespace(allowed_lateness_s=600, service_home=lambda service: home)
    control = SimpleNamespace(log=ControlLog(), on_change=lambda listener: None)
    context = SimpleNamespace(service="tally", settings=settings, control=control, publisher=broker)
    return Offline(context, lambda owns, usage: Tally())  # type: ignore[arg-type]


def run(first: int, *costs: int) -> Run:
    """One row a record, each of its own minute and epoch."""
    records = []
    for offset, cost in enumerate(costs, first):
        row = {
            "grain": "owner", "minute": offset * 60_000_000, "incarnation": "i", "source_partition": 0,
            "epoch": offset, "last_offset": offset, "team": "t", "model": "m", "late": False,
            **dict.fromkeys(SUMS, 0), "cost_pico_usd": cost,
        }  # fmt: skip
        records.append(SimpleNamespace(offset=offset, timestamp=0, key=None, value=encode("CostRollup", row)))
    return Run("costs", 0, records)  # type: ignore[arg-type]


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 10 * SOON_S)

    asyncio.run(bounded())


async def stopped(task: "asyncio.Task[None]", lanes: KeyedProcessor[Tally]) -> None:
    """What the consume loop does at a rebalance or a stop: cancel, then take the partitions away."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await lanes.revoked()


def test_a_stop_between_runs_keeps_everything(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = Broker()
        lanes = processor(tmp_path, broker)
        await lanes.assigned({COSTS})
        await lanes.process(run(0, 4, 7))
        await lanes.revoked()
        heir = processor(tmp_path, broker)
        assert await heir.assigned({COSTS}) == {COSTS: 2}
        await heir.process(run(2, 9))
        assert broker.sent == [b"1", b"2"] and heir.engines[0].total == 20
        await heir.revoked()

    play(scenario)


def test_runs_that_come_again_change_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = Broker()
        lanes = processor(tmp_path, broker)
        await lanes.assigned({COSTS})
        for _ in range(3):
            await lanes.process(run(0, 4, 7, 9))
        assert broker.sent == [b"1", b"2"] and lanes.engines[0].total == 20
        await lanes.revoked()

    play(scenario)


def test_a_stop_while_the_broker_is_away_loses_no_alert(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = Broker()
        lanes = processor(tmp_path, broker)
        await lanes.assigned({COSTS})
        await lanes.process(run(0, 4))
        broker.away = True
        broker.asked.clear()
        task = asyncio.create_task(lanes.process(run(1, 7)))
        await broker.asked.wait()
        await stopped(task, lanes)
        broker.away = False
        heir = processor(tmp_path, broker)
        position = (await heir.assigned({COSTS}))[COSTS]
        await heir.process(run(position, *(4, 7)[position:]))
        assert broker.sent == [b"1"], "the alert was counted as said and never was"
        assert heir.engines[0].total == 11
        await heir.revoked()

    play(scenario)


@pytest.mark.parametrize("where", ["deltas", "update"])
def test_a_stop_in_the_middle_of_a_run_loses_no_money(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async def scenario() -> None:
        broker, reached = Broker(), asyncio.Event()
        lanes = processor(tmp_path, broker)
        await lanes.assigned({COSTS})
        await lanes.process(run(0, 4))
        to_thread = asyncio.to_thread

        async def stops_behind(call: Callable[..., Any], *arguments: Any) -> Any:
            result = await to_thread(call, *arguments)
            if getattr(call, "__name__", "") == where:
                reached.set()
                await asyncio.sleep(60)  # the moment at which the stop comes
            return result

        monkeypatch.setattr(module.asyncio, "to_thread", stops_behind)
        task = asyncio.create_task(lanes.process(run(1, 7)))
        await asyncio.wait_for(reached.wait(), SOON_S)
        await stopped(task, lanes)
        monkeypatch.undo()
        heir = processor(tmp_path, broker)
        position = (await heir.assigned({COSTS}))[COSTS]
        await heir.process(run(position, *(4, 7)[position:]))
        assert heir.engines[0].total == 11 and broker.sent == [b"1"]
        await heir.revoked()

    play(scenario)


def test_a_snapshot_that_cannot_be_read_is_rebuilt_from_the_topic(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = Broker()
        for content in (b"", b"{", b"null", b"[]", b'{"version": 2}', b'{"version": 99}', b"\0" * 100):
            (tmp_path / "costs-0.json").write_bytes(content)
            lanes = processor(tmp_path, broker)
            assert await lanes.assigned({COSTS}) == {COSTS: 0}, content
            await lanes.revoked()

    play(scenario)


@pytest.mark.parametrize(
    ("before", "after", "end", "position"),
    [
        ("a", "a", 9, 2),
        ("a", "b", 9, 0),
        ("a", "b", 1, 0),
        ("", "", 9, 2),
        ("", "", 2, 2),
        ("", "", 1, 0),
        ("a", "", 9, 2),
        ("", "a", 9, 2),
    ],
)
def test_a_topic_created_anew_is_read_from_its_start_and_what_was_counted_stays(
    tmp_path: Path, before: str, after: str, end: int, position: int
) -> None:
    async def scenario() -> None:
        broker = Broker()
        lanes = processor(tmp_path, broker)
        lanes.topic_id = before
        await lanes.assigned({COSTS})
        await lanes.process(run(0, 4, 7))
        await lanes.revoked()
        heir = processor(tmp_path, broker)
        heir.topic_id, heir.end = after, end
        assert await heir.assigned({COSTS}) == {COSTS: position}
        await heir.process(run(position, *(4, 7)[position:], 9))
        assert heir.engines[0].total == 20 and broker.sent == [b"1", b"2"]
        await heir.revoked()
        again = processor(tmp_path, broker)
        again.topic_id = after
        assert await again.assigned({COSTS}) == {COSTS: 3}, "the topic's id was not kept"
        await again.revoked()

    play(scenario)


def test_a_lane_that_runs_hears_that_its_topic_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        lanes = processor(tmp_path, Broker())
        await lanes.assigned({COSTS})
        found: dict[str, str | None] = {"costs": "a"}

        async def ids(settings: object, topics: object) -> dict[str, str | None]:
            return found

        monkeypatch.setattr(module, "topic_ids", ids)
        assert await lanes.lost() is None
        found["costs"] = None  # between its deletion and its return
        assert await lanes.lost() is None
        found["costs"] = "b"
        assert "costs" in str(await lanes.lost())
        await lanes.revoked()

    play(scenario)
