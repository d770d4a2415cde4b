"""Broker and database killed in the middle of the load, and the local folder lost: totals are exact all the same."""

import random
import shutil
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.totals import until_exactly
from tests.support.usage import PRICES, now_us, numbered

pytestmark = pytest.mark.kafka


@pytest.fixture
def system(kafka_installation: Installation, tmp_path: Path) -> Installation:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    kafka_installation.service("attribution").start()
    kafka_installation.run("apply", "-f", str(prices))
    return kafka_installation


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.long)])
def test_totals_are_exact_after_the_broker_was_killed_under_load(system: Installation, kills: int) -> None:
    sent = 0
    for round_ in range(kills):
        burst = list(numbered(f"r{round_}", 20_000))
        system.publish("usage", burst)
        sent += len(burst)
        system.until("select count() from charges", lambda n, least=sent - 19_000: n >= least)
        system.stack.kill_broker()
        system.stack.start_broker()
        system.publish("usage", burst[:500])
    until_exactly(system, sent, 500 * kills)
    assert system.service("attribution").running, "it outlives the broker's absence"


@pytest.mark.long
def test_a_restart_of_the_process_while_the_broker_is_away_waits_for_it(system: Installation) -> None:
    system.publish("usage", numbered("before", 5_000))
    system.until("select count() from charges", lambda n: n == 5_000)
    system.stack.kill_broker()
    system.service("attribution").kill9()
    system.service("attribution").start(wait=False)
    system.stack.start_broker()
    system.publish("usage", numbered("after", 5_000))
    until_exactly(system, 10_000, 0)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_no_charge_is_there_twice_after_the_database_was_killed_in_the_middle_of_inserts(
    system: Installation, kills: int
) -> None:
    chance, sent = random.Random(kills), 0
    for round_ in range(kills):
        # Two months in a range: two blocks, between which the kill may fall.
        ago = (0, 40 * 86_400_000_000)[round_ % 2]
        burst = list(numbered(f"r{round_}", 10_000)) + list(numbered(f"o{round_}", 10_000, occurred_at=now_us() - ago))
        chance.shuffle(burst)
        system.publish("usage", burst)
        sent += len(burst)
        if chance.random() < 0.5:
            system.until("select count() from charges", lambda n, least=sent - 19_900: n >= least)
        system.stack.kill_clickhouse()
        if chance.random() < 0.4:
            system.service("attribution").kill9()
            system.service("attribution").start(wait=False)
        system.stack.start_clickhouse()
        system.publish("usage", burst[:300])
    until_exactly(system, sent, 300 * kills)


def test_a_lost_folder_is_rebuilt_from_the_topics_and_old_ids_are_still_known(system: Installation) -> None:
    attribution = system.service("attribution")
    first = list(numbered("first", 30_000))
    system.publish("usage", first[:15_000])
    system.until("select count() from charges", lambda n: n == 15_000)
    system.publish("usage", [*first[15_000:], *first[:100]])
    system.until("select count() from charges", lambda n: n == 30_000)
    for round_ in range(2):
        attribution.kill9()
        shutil.rmtree(system.stack.home / "attribution")
        system.publish("usage", [*numbered(f"new{round_}", 5_000), *first[:2_000]])
        attribution.start()
    # Minutes that were open at the kill go on from where they stood, to the last pico-dollar.
    until_exactly(system, 40_000, 100 + 2 * 2_000)


@pytest.mark.long
def test_a_corrupted_folder_is_as_good_as_a_lost_one(system: Installation) -> None:
    attribution = system.service("attribution")
    first = list(numbered("first", 20_000))
    system.publish("usage", first)
    system.until("select count() from charges", lambda n: n == 20_000)
    assert attribution.stop() == 0
    for path in (system.stack.home / "attribution").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
            path.write_bytes(data)
    system.publish("usage", [*numbered("second", 5_000), *first[:2_000]])
    attribution.start()
    until_exactly(system, 25_000, 2_000)
