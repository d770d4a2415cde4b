"""Usage to alerts, enforcement and budget_status through every service, with stops and restarts on the way."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from spendstream.runtime.kafka.admin import apply_topics
from tests.support.budgets import (
    AMOUNT,
    EACH,
    LEVELS,
    alerts,
    calls,
    declare,
    firings,
    records,
    until_fired,
    until_spent,
)
from tests.support.installation import Installation
from tests.support.stack import eventually
from tests.support.usage import message, usage

BOTH = [
    pytest.param("installation", marks=pytest.mark.embedded),
    pytest.param("kafka_installation", marks=[pytest.mark.kafka, pytest.mark.long]),
]


@pytest.fixture(params=BOTH)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    made: Installation = request.getfixturevalue(request.param)
    attribution, budgets = made.service("attribution"), made.service("budgets")
    attribution.start(wait=False)
    budgets.start()
    eventually(attribution.is_ready)
    declare(made, tmp_path)
    return made


def test_each_level_is_said_once_escalates_in_place_and_is_enforced(system: Installation) -> None:
    system.publish("usage", calls("under", 69))
    until_spent(system, 69)
    assert firings(system) == []
    for step, (count, level) in enumerate(zip((6, 10, 10, 10, 10), LEVELS, strict=True), 1):
        burst = calls(f"step-{step}", count)
        system.publish("usage", [*burst, *burst[:3]])
        until_fired(system, step)
        assert firings(system)[-1] == level
    until_spent(system, 115)
    assert firings(system) == LEVELS
    assert len({alert["alert_id"] for alert in alerts(system)}) == 1
    revisions = [alert["revision"] for alert in alerts(system)]
    assert revisions == sorted(set(revisions))

    (state,) = {record["scope_key"]: record for record in records(system, "enforcement")}.values()
    assert (state["scope"], state["action"]) == ({"team": "search"}, "block")
    assert [budget for budget in state["budgets"] if "small" in str(budget)]
    system.until("select severity from v_alerts where name = 'small'", lambda severity: severity == "page")
    spent, amount = system.query("select spent_usd, amount_usd from budget_status final where budget = 'small'")[0]
    assert (spent, amount) == (115 * EACH, AMOUNT)


@pytest.mark.long
def test_a_jump_over_all_levels_says_each_once_in_order(system: Installation) -> None:
    system.publish("usage", calls("jump", 130))
    until_fired(system, len(LEVELS))
    until_spent(system, 130)
    assert firings(system) == LEVELS


def test_a_stop_and_a_lost_folder_repeat_nothing_and_lose_nothing(system: Installation) -> None:
    budgets = system.service("budgets")
    system.publish("usage", calls("one", 85))
    until_fired(system, 2)
    until_spent(system, 85)
    assert budgets.stop() == 0
    system.publish("usage", calls("two", 10))
    budgets.start()
    until_fired(system, 3)
    until_spent(system, 95)
    budgets.kill9()
    shutil.rmtree(system.stack.home / "budgets")
    system.publish("usage", calls("three", 20))
    budgets.start()
    until_fired(system, 5)
    until_spent(system, 115)
    assert firings(system) == LEVELS


@pytest.mark.embedded
def test_after_the_broker_has_lost_everything_new_spend_counts_again(
    installation: Installation, tmp_path: Path
) -> None:
    # An in-memory broker that is restarted holds new topics under the old names: what is stored about the old ones
    # must not make the new records look old.
    system = installation
    services = [system.service("attribution"), system.service("budgets")]
    for service in services:
        service.start()
    declare(system, tmp_path)
    system.publish("usage", calls("before", 85))
    until_fired(system, 2)
    until_spent(system, 85)
    for service in services:
        assert service.stop() == 0
    system.stack.kill_broker()
    system.stack.start_broker()
    asyncio.run(apply_topics(system.settings))
    for service in services:
        service.start()
    declare(system, tmp_path)
    system.publish("usage", calls("after", 75))
    system.until("select count() from charges", lambda n: n == 160)
    until_fired(system, 1)
    # What was spent before may still count, or not: both are 75 calls more, and none of them may be overlooked.
    newest = "select spent_usd from budget_status final where budget = 'small' order by updated_at desc limit 1"
    system.until(newest, lambda spent: spent in (75 * EACH, 160 * EACH))


@pytest.mark.embedded
def test_costs_lost_while_budgets_is_down_and_grown_beyond_what_was_read(
    installation: Installation, tmp_path: Path
) -> None:
    system = installation
    services = [system.service("attribution"), system.service("budgets")]
    for service in services:
        service.start()
    declare(system, tmp_path)
    system.publish("usage", calls("before", 20))
    until_spent(system, 20)
    for service in reversed(services):
        assert service.stop() == 0
    system.stack.kill_broker()
    system.stack.start_broker()
    asyncio.run(apply_topics(system.settings))
    services[0].start()
    declare(system, tmp_path)
    # A row for each feature, none of which a later row repeats: what is skipped is missing for good.
    apart = [message(usage(f"after-{k}", feature=f"feature-{k}")) for k in range(40)]
    system.publish("usage", apart, partition=0)
    system.until("select count() from charges", lambda n: n == 60)
    services[1].start()
    until_spent(system, 60)


@pytest.mark.embedded
def test_costs_created_anew_under_a_running_service_is_noticed(installation: Installation, tmp_path: Path) -> None:
    system = installation
    attribution, budgets = system.service("attribution"), system.service("budgets")
    attribution.start()
    budgets.start()
    declare(system, tmp_path)
    for part in range(3):
        system.publish("usage", calls(f"before-{part}", 10))
        until_spent(system, 10 * (part + 1))
    asyncio.run(_recreate(system, "costs"))
    system.publish("usage", calls("after", 10))
    until_spent(system, 40)
    assert "created anew" in budgets.log.read_text()
    assert budgets.running


async def _recreate(system: Installation, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=system.stack.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()
    await apply_topics(system.settings)


@pytest.mark.embedded
def test_a_budget_whose_document_was_lost_with_the_broker_is_not_shown_as_ok(
    installation: Installation, tmp_path: Path
) -> None:
    system = installation
    budgets = system.service("budgets")
    budgets.start()
    declare(system, tmp_path)
    system.until("select count() from budget_status where budget = 'small'", lambda rows: rows > 0)
    [row] = json.loads(system.run("budgets", "status", "--json").stdout)
    assert (row["budget"], row["state"], row["in_force"]) == ("small", "ok", True)
    assert budgets.stop() == 0
    system.stack.kill_broker()
    away = system.run("budgets", "status", "--json")
    assert json.loads(away.stdout)[0]["in_force"] is None and "unknown" in away.stderr
    system.stack.start_broker()
    asyncio.run(apply_topics(system.settings))
    [row] = json.loads(system.run("budgets", "status", "--json").stdout)
    assert row["in_force"] is False
    assert "not in force" in system.run("budgets", "status").stdout
    declare(system, tmp_path)
    assert "not in force" not in system.run("budgets", "status").stdout
