"""`kill -9` of attribution while corrections flow, and corrections published twice: every total is exact."""

import asyncio
import random
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from spendstream.runtime.kafka.reader import read_all
from tests.support.corrections import price, tell, totals
from tests.support.installation import Installation
from tests.support.totals import until_conserved
from tests.support.usage import now_us, numbered

pytestmark = pytest.mark.kafka
EVENTS = 40_000
HOUR_US = 3_600_000_000


def counted(system: Installation, each: Decimal) -> None:
    """Wait until every view says that each event costs `each`, then check what must hold besides."""
    for view in ("v_cost", "v_cost_daily"):
        system.until(f"select sum(cost_usd) from {view}", lambda usd: usd == EVENTS * each)
    assert set(totals(system).values()) == {EVENTS * each}
    until_conserved(system, (EVENTS, EVENTS, 0, 0, 0, 0, 0))
    sums = "sum(events), sum(priced_events), sum(unpriced_events)"
    assert system.query(f"select {sums} from v_cost_minute")[0] == (EVENTS, EVENTS, 0)


def killed_now_and_then(system: Installation, chance: random.Random, kills: int) -> None:
    """Kills some moments after attribution is ready, which is when it repairs and takes corrections in."""
    attribution = system.service("attribution")
    for _ in range(kills):
        time.sleep(chance.uniform(0.1, 1.5))
        attribution.kill9()
        attribution.start()


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_totals_are_exact_after_kills_and_repetitions(
    kafka_installation: Installation, tmp_path: Path, kills: int
) -> None:
    system, chance = kafka_installation, random.Random(kills)
    system.service("attribution").start()
    spread = (
        message
        for i in range(40)
        for message in numbered(f"m{i}", EVENTS // 40, occurred_at=now_us() - i * HOUR_US, service=f"s{i % 7}")
    )
    system.publish("usage", spread)
    system.until("select count() from charges", EVENTS.__eq__)
    system.until("select sum(events) from v_cost_minute", EVENTS.__eq__)

    tell(system, tmp_path, price())
    killed_now_and_then(system, chance, kills)
    counted(system, Decimal("0.0013"))

    # A publisher that is cut short and begins again says the same twice: here it says everything twice.
    records = asyncio.run(read_all(system.settings, "corrections"))
    system.publish("corrections", [(record.key, record.value) for record in records], partition=0)

    tell(system, tmp_path, price(input=Decimal("0.5")))
    command = [sys.executable, "-m", "spendstream", "reprice", "--from", "2020-01-01", "--to", "2999-01-01", "--apply"]
    with (tmp_path / "reprice.log").open("wb") as out:
        environment = {**system.environment, "PATH": "/usr/bin:/bin"}
        reprice = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    killed_now_and_then(system, chance, kills)
    assert reprice.wait(120) == 0, (tmp_path / "reprice.log").read_text()
    counted(system, Decimal("0.0008"))
    assert system.query("select count(), max(revision) from corrections final")[0] == (2 * EVENTS, 2)
