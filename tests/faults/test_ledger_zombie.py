"""A ledger that was frozen in the middle of an insert wakes up long after another process has written its ranges."""

import os
import signal
from pathlib import Path

import pytest

from spendstream.runtime.clickhouse.client import connect
from tests.support.installation import Installation, RunningService
from tests.support.stack import eventually
from tests.support.usage import PRICES, numbered

pytestmark = pytest.mark.kafka


def failed_tries(service: RunningService) -> int:
    """How often it has said that a range of some partition could not be inserted."""
    told = [line for line in service.log.read_text().splitlines() if "not now" in line]
    return sum("insert into charges" in line or "ledger of usage" in line for line in told)


def test_a_range_whose_token_was_forgotten_meanwhile_is_not_inserted_again(
    kafka_installation: Installation, tmp_path: Path
) -> None:
    system = kafka_installation
    (tmp_path / "prices.yaml").write_text(PRICES)
    # ClickHouse remembers the tokens of the last thousand blocks; a small window makes a thousand of them few.
    connect(system.settings).command("alter table charges modify setting non_replicated_deduplication_window = 5")
    first, second = system.service("attribution"), system.service("attribution", instance="-b")
    first.start()
    system.run("apply", "-f", str(tmp_path / "prices.yaml"))
    system.publish("usage", numbered("first", 400))
    # Marked, too: a partition that is still to mark its first range would wait there, and never try the next.
    system.until("select sum(events) from ledger_ranges final", lambda n: n == 400)
    system.stack.kill_clickhouse()
    system.publish("usage", numbered("held", 400))
    # It has rated them, has failed to insert those of every partition, and waits for its next try.
    eventually(lambda: failed_tries(first) >= 4)
    assert first._process is not None
    os.kill(first._process.pid, signal.SIGSTOP)
    system.stack.start_clickhouse()
    second.start()
    sent = 800
    system.until("select count() from charges", lambda n: n == 800)
    for round_ in range(4):
        system.publish("usage", numbered(f"later-{round_}", 400))
        sent += 400
        system.until("select count() from charges", lambda n, least=sent: n >= least)
    os.kill(first._process.pid, signal.SIGCONT)
    eventually(lambda: first.log.read_text().count("partition loaded") > 4)
    system.publish("usage", numbered("last", 400))
    system.until("select sum(events) from v_cost_minute", lambda n: n >= sent + 400)
    system.until("select count() from charges", lambda n: n >= sent + 400)
    assert system.query("select count(), uniqExact(event_id) from charges")[0] == (sent + 400, sent + 400)
