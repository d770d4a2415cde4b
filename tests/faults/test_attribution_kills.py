"""`kill -9` of attribution under load with duplicates: every total is exact, and nothing is there twice."""

import random
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.stack import eventually
from tests.support.totals import until_exactly
from tests.support.usage import PRICES, now_us, numbered

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_totals_are_exact_after_kills(kafka_installation: Installation, tmp_path: Path, kills: int) -> None:
    system, chance = kafka_installation, random.Random(kills)
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    attribution = system.service("attribution")
    attribution.start()
    system.run("apply", "-f", str(prices))
    sent = 0
    for round_ in range(kills):
        burst = list(numbered(f"r{round_}", 20_000, occurred_at=now_us() - chance.randrange(0, 3_600_000_000)))
        system.publish("usage", burst)
        sent += len(burst)
        # Half of the time wait until some of it is through, so that kills hit every stage.
        if chance.random() < 0.5:
            least = sent - chance.randrange(20_000)
            system.until("select count() from charges", least.__le__)
        attribution.kill9()
        system.publish("usage", burst[:500])
        attribution.start(wait=chance.random() < 0.5)
    until_exactly(system, sent, 500 * kills)


def test_costs_go_on_while_clickhouse_is_away(kafka_installation: Installation, tmp_path: Path) -> None:
    system = kafka_installation
    system.service("attribution").start()
    system.publish("usage", numbered("before", 1_000, model="gpt-4o", provider="openai"))
    system.until("select count() from charges", lambda n: n == 1_000)
    # Their costs, too: or they would pass for those that come while ClickHouse is away.
    system.until("select sum(events) from v_cost_minute", lambda n: n == 1_000)
    system.stack.kill_clickhouse()
    behind = _costs_end(system)
    system.publish("usage", numbered("during", 1_000, model="gpt-4o", provider="openai"))
    eventually(lambda: _costs_end(system) > behind)
    system.service("attribution").kill9()
    system.service("attribution").start()
    system.publish("usage", numbered("after", 1_000, model="gpt-4o", provider="openai"))
    system.stack.start_clickhouse()
    system.until("select count() from charges", lambda n: n >= 3_000)
    system.until("select sum(events) from v_cost_minute", lambda n: n >= 3_000)
    assert system.query("select count(), uniqExact(event_id) from charges")[0] == (3_000, 3_000)


def _costs_end(system: Installation) -> int:
    """Records on `costs`."""
    import asyncio

    from aiokafka import TopicPartition

    from spendstream.runtime.kafka.reader import log_bounds, partition_reader

    async def ends() -> int:
        total = 0
        for partition in range(4):
            async with partition_reader(system.settings, "costs", partition, 0) as consumer:
                total += (await log_bounds(consumer, TopicPartition("costs", partition)))[1]
        return total

    return asyncio.run(ends())
