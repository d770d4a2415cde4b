"""Retention takes records the open minutes were made of, and the worker has lost its files: nothing counts twice."""

import asyncio
import shutil
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.support.installation import Installation
from tests.support.usage import PRICES, numbered

pytestmark = pytest.mark.kafka


async def trim(system: Installation, before: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=system.stack.bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition("usage", 0): RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()


def test_open_minutes_are_taken_from_costs(kafka_installation: Installation, tmp_path: Path) -> None:
    system = kafka_installation
    (tmp_path / "prices.yaml").write_text(PRICES)
    attribution = system.service("attribution")
    attribution.start()
    system.run("apply", "-f", str(tmp_path / "prices.yaml"))
    for part in ("a", "b", "c"):
        system.publish("usage", numbered(part, 100), partition=0)
        system.until(f"select countIf(event_id like '{part}-%') from charges", lambda n: n == 100)
    system.until("select sum(events) from v_cost_minute", lambda n: n == 300)
    # Marked, too: a range that is not would be read again, and what is trimmed cannot be.
    system.until("select sum(events) from ledger_ranges final", lambda n: n == 300)
    attribution.kill9()
    shutil.rmtree(system.stack.home / "attribution")
    asyncio.run(trim(system, 150))
    attribution.start()
    system.publish("usage", numbered("d", 100), partition=0)
    system.until("select count() from charges", lambda n: n >= 400)
    system.until("select sum(events) from v_cost_minute", lambda n: n >= 400)
    assert "open minutes were taken from costs" in attribution.log.read_text()
    assert system.query("select sum(events), sum(cost_usd) from v_cost_minute") == system.query(
        "select count(), sum(cost_usd) from v_cost"
    )
