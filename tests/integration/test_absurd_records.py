"""Records that fit the schema and are absurd all the same: refused one by one, nothing else is disturbed."""

from pathlib import Path

import pytest

from spendstream.schemas import encode
from tests.support.installation import Installation
from tests.support.totals import until_conserved
from tests.support.usage import PRICES, message, now_us, numbered, usage


@pytest.mark.embedded
def test_absurd_records_are_refused_and_a_restart_agrees(installation: Installation, tmp_path: Path) -> None:
    system, now = installation, now_us()
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    attribution = system.service("attribution")
    attribution.start()
    system.run("apply", "-f", str(prices))
    # A million dollars each: nine of them fit the 64-bit sum of their minute, and then none does.
    dear = [message(usage(f"dear-{i}", occurred_at=now, input_tokens=10**12, output_tokens=0)) for i in range(12)]
    slow = [message(usage(f"slow-{i}", occurred_at=now, latency_ms=2**63 - 1)) for i in range(3)]
    wordy = [message(usage("wordy", org="o" * 600_000, input_tokens=-1)), message(usage("name", feature="f" * 2_000))]
    far = [{**usage(f"far-{i}"), "occurred_at": 9_000_000_000_000_000_000} for i in range(30)]
    batch = (b"far-0", encode("UsageBatch", {"events": [*far, usage("near")]}))
    for messages in (dear, slow, wordy, [batch]):
        system.publish("usage", messages, partition=0)
    system.publish("usage", numbered("after", 100), partition=0)
    system.until("select countIf(event_id like 'after-%') from charges", lambda n: n == 100)
    system.until("select count() from dead_letters final", lambda n: n == 35)
    system.until("select sum(events) from v_cost_minute", lambda n: n == 113)
    refused = dict(system.query("select reason, count() from dead_letters final group by reason"))
    counted = system.value("select countIf(event_id like 'dear-%') from charges")
    assert counted == 9
    assert refused == {"clock": 30, "text_limit": 2, "amount_overflow": 3}
    until_conserved(system, (148, 113, 0, 0, 0, 35, 0))
    assert system.value("select max(length(payload)) from dead_letters where reason = 'clock'") < 1_000
    before = system.query("select sum(events), sum(cost_usd) from v_cost_minute")
    attribution.kill9()
    attribution.start()
    system.publish("usage", numbered("later", 100), partition=0)
    system.until("select sum(events) from v_cost_minute", lambda n: n == before[0][0] + 100)
    system.until("select count() from charges", lambda n: n == before[0][0] + 100)
    assert system.value("select sum(cost_usd) from v_cost_minute") == system.value("select sum(cost_usd) from v_cost")
