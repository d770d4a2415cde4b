"""`kill -9` of budgets and of attribution while a budget fills up: every level once, none missing, the sum right."""

import random
from pathlib import Path

import pytest

from tests.support.budgets import LEVELS, calls, declare, firings, until_fired, until_spent
from tests.support.installation import Installation
from tests.support.stack import eventually

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("steps", [4, pytest.param(40, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
def test_no_level_is_said_twice_and_none_is_missing(
    kafka_installation: Installation, tmp_path: Path, steps: int
) -> None:
    system, chance = kafka_installation, random.Random(steps)
    attribution, budgets = system.service("attribution"), system.service("budgets")
    attribution.start(wait=False)
    budgets.start()
    eventually(attribution.is_ready)
    declare(system, tmp_path)
    sent = 0
    for step in range(steps):
        burst = calls(f"s{step}", 120 // steps)
        system.publish("usage", burst)
        sent += len(burst)
        for service in chance.sample([attribution, budgets], chance.choice([1, 1, 2])):
            if chance.random() < 0.7:
                service.kill9()
            else:
                service.stop()
            service.start(wait=False)
        system.publish("usage", burst[: len(burst) // 2])
        if chance.random() < 0.3:
            eventually(budgets.is_ready)
    until_fired(system, len(LEVELS))
    until_spent(system, sent)
    assert firings(system) == LEVELS


@pytest.mark.long
def test_alerts_go_on_while_clickhouse_is_away(kafka_installation: Installation, tmp_path: Path) -> None:
    system = kafka_installation
    system.service("attribution").start(wait=False)
    system.service("budgets").start()
    declare(system, tmp_path)
    system.stack.kill_clickhouse()
    system.publish("usage", calls("jump", 115))
    until_fired(system, len(LEVELS))
    system.stack.start_clickhouse()
    until_spent(system, 115)
    assert firings(system) == LEVELS
