"""Where recommendations go on reading after the broker has lost a topic."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from faust.types import TP

from spendstream.recommendations import processor as module
from spendstream.recommendations.processor import RecommendationProcessor
from spendstream.runtime.control import ControlLog

COSTS, USAGE = TP("costs", 0), TP("usage", 0)


class Broker:
    """What the processor asks about topics."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ids: dict[str, str | None] = {"costs": "a", "usage": "b", "recommendations": "c"}
        self.ends = {"costs": 50, "usage": 50}
        self.recalled_from: list[int] = []

        async def topic_ids(settings: object, topics: tuple[str, ...]) -> dict[str, str | None]:
            return {topic: self.ids[topic] for topic in topics}

        async def end_of(settings: object, topic: str, partition: int) -> int:
            return self.ends[topic]

        async def read_all(settings: object, topic: str, partition: int, start: int) -> list[object]:
            self.recalled_from.append(start)
            return []

        for answer in (topic_ids, end_of, read_all):
            monkeypatch.setattr(module, answer.__name__, answer)


def processor(home: Path) -> RecommendationProcessor:
    settings = SimpleNamespace(allowed_lateness_s=600, service_home=lambda service: home)
    context = SimpleNamespace(service="recommendations", settings=settings, control=SimpleNamespace(log=ControlLog()))
    return RecommendationProcessor(context)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "ends", "positions", "recalled"),
    [
        ({}, {}, {COSTS: 8, USAGE: 6}, 4),
        ({"costs": "new"}, {}, {COSTS: 0, USAGE: 6}, 4),
        ({"usage": "new"}, {}, {COSTS: 8, USAGE: 0}, 4),
        ({"recommendations": "new"}, {}, {COSTS: 8, USAGE: 6}, 0),
        ({"costs": None, "usage": None}, {"usage": 3}, {COSTS: 8, USAGE: 0}, 4),
        ({"costs": None, "usage": None}, {}, {COSTS: 8, USAGE: 6}, 4),
    ],
)
def test_a_topic_created_anew_is_read_from_its_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str | None],
    ends: dict[str, int],
    positions: dict[TP, int],
    recalled: int,
) -> None:
    async def scenario() -> None:
        broker = Broker(monkeypatch)
        first = processor(tmp_path)
        await first.assigned({COSTS, USAGE})
        first._offsets, first._recalled = {"costs/0": 7, "usage/0": 5}, 4
        assert await first.lost() is None
        broker.ids |= changed
        broker.ends |= ends
        lost = await first.lost()
        assert (lost is not None) == ("new" in (changed.get("costs"), changed.get("usage")))
        await first.revoked()
        heir = processor(tmp_path)
        assert await heir.assigned({COSTS, USAGE}) == positions
        assert broker.recalled_from[-1] == recalled
        await heir.revoked()

    asyncio.run(scenario())
