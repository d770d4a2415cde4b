"""Several attribution processes on four partitions, killed, stopped, frozen and added under load with duplicates:
nothing is lost, nothing is charged twice. This is what the plan log is for."""

import os
import random
import signal
from pathlib import Path

import pytest

from tests.support.installation import Installation, RunningService
from tests.support.stack import eventually
from tests.support.totals import until_exactly
from tests.support.usage import PRICES, now_us, numbered

pytestmark = pytest.mark.kafka


@pytest.fixture
def system(kafka_installation: Installation, tmp_path: Path) -> Installation:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    kafka_installation.run("apply", "-f", str(prices))
    return kafka_installation


@pytest.mark.long
def test_a_second_process_joins_under_load_and_both_go_on(system: Installation) -> None:
    first, second = system.service("attribution"), system.service("attribution", instance="-b")
    first.start()
    bursts = [list(numbered(f"r{i}", 30_000)) for i in range(3)]
    system.publish("usage", bursts[0])
    second.start(wait=False)
    system.publish("usage", bursts[1])
    eventually(second.is_ready)
    system.publish("usage", [*bursts[2], *bursts[0][:2_000]])
    until_exactly(system, 90_000, 2_000)


def test_the_survivor_takes_over_without_local_files(system: Installation) -> None:
    first, second = system.service("attribution"), system.service("attribution", instance="-b")
    first.start()
    before = list(numbered("before", 20_000))
    system.publish("usage", before)
    system.until("select count() from charges", lambda n: n == 20_000)
    second.start()
    system.publish("usage", numbered("both", 20_000))
    first.kill9()
    # Ids that only the dead process had on disk are recognised by its heir.
    system.publish("usage", [*numbered("after", 20_000), *before[:5_000]])
    until_exactly(system, 60_000, 5_000)


def test_a_process_that_wakes_up_after_its_partitions_were_given_away_changes_nothing(system: Installation) -> None:
    first, second = system.service("attribution"), system.service("attribution", instance="-b")
    first.start()
    bursts = [list(numbered(f"r{i}", 20_000)) for i in range(4)]
    system.publish("usage", bursts[0])
    _freeze(first)
    second.start(wait=False)
    system.publish("usage", [*bursts[1], *bursts[0][:1_000]])
    system.until("select count() from charges", lambda n: n >= 30_000)
    _thaw(first)
    system.publish("usage", [*bursts[2], *bursts[1][:1_000]])
    system.until("select count() from charges", lambda n: n >= 50_000)
    _freeze(first)
    system.publish("usage", [*bursts[3], *bursts[2][:1_000]])
    system.until("select count() from charges", lambda n: n >= 70_000)
    _thaw(first)
    until_exactly(system, 80_000, 3_000)


@pytest.mark.parametrize("rounds", [pytest.param(25, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
def test_totals_are_exact_while_processes_come_and_go(system: Installation, rounds: int) -> None:
    chance = random.Random(rounds)
    workers = [system.service("attribution", instance=f"-{i}") for i in range(3)]
    workers[0].start()
    sent = duplicates = 0
    for round_ in range(rounds):
        burst = list(numbered(f"r{round_}", 15_000, occurred_at=now_us() - chance.randrange(0, 3_600_000_000)))
        system.publish("usage", burst)
        sent += len(burst)
        worker = chance.choice(workers)
        _disturb(worker, chance)
        system.publish("usage", burst[:500])
        duplicates += 500
        if not any(worker.running for worker in workers):
            chance.choice(workers).start(wait=False)
        if chance.random() < 0.4:
            system.until("select count() from charges", lambda n, least=sent - 10_000: n >= least)
    until_exactly(system, sent, duplicates)


def _disturb(worker: RunningService, chance: random.Random) -> None:
    if not worker.running:
        worker.start(wait=False)
    elif chance.random() < 0.6:
        worker.kill9()
        if chance.random() < 0.7:
            worker.start(wait=False)
    else:
        worker.stop()


def _freeze(worker: RunningService) -> None:
    os.kill(_pid(worker), signal.SIGSTOP)


def _thaw(worker: RunningService) -> None:
    os.kill(_pid(worker), signal.SIGCONT)


def _pid(worker: RunningService) -> int:
    assert worker._process is not None
    return worker._process.pid
