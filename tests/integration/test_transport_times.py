"""Broker time, not a producer's clock, says what is ahead of time and how long an id is remembered."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.installation import Installation
from tests.support.usage import PRICES, message, now_us, numbered, usage

DAY_MS = 86_400_000


@pytest.mark.kafka
def test_a_producer_whose_clock_is_wrong_is_counted_like_any_other(
    kafka_installation: Installation, tmp_path: Path
) -> None:
    system = kafka_installation
    (tmp_path / "prices.yaml").write_text(PRICES)
    system.service("attribution").start()
    system.run("apply", "-f", str(tmp_path / "prices.yaml"))
    kept = list(numbered("kept", 50))
    system.publish("usage", kept)
    system.until("select count() from charges", lambda n: n == 50)

    async def send(stamp_ms: int, events: list[tuple[bytes, bytes]]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=system.stack.bootstrap)
        await producer.start()
        try:
            for key, value in events:
                await producer.send_and_wait("usage", value=value, key=key, timestamp_ms=stamp_ms)
        finally:
            await producer.stop()

    now_ms = now_us() // 1_000
    # Its records look a day old: what they report is no less of today.
    asyncio.run(send(now_ms - DAY_MS, [message(usage(f"slow-{i}")) for i in range(20)]))
    # Within what brokers accept, its records look as if they came later: that must not shorten anybody's horizon.
    asyncio.run(send(now_ms + 3_000_000, [message(usage(f"fast-{i}", occurred_at=now_us())) for i in range(20)]))
    system.publish("usage", kept)
    system.until("select sum(duplicate) from ledger_ranges final", lambda n: n == 50)
    system.until("select count() from charges", lambda n: n == 90)
    assert system.query("select reason, count() from dead_letters final group by reason") == []
