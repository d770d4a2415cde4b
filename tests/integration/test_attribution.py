"""Usage to charges and roll-ups, on both brokers."""

from decimal import Decimal
from pathlib import Path

import pytest

from spendstream.schemas import encode
from tests.support.installation import Installation
from tests.support.totals import until_conserved
from tests.support.usage import PRICES, message, now_us, numbered, usage


@pytest.fixture(params=[pytest.param("installation", marks=pytest.mark.embedded),
                        pytest.param("kafka_installation", marks=pytest.mark.kafka)])  # fmt: skip
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    made: Installation = request.getfixturevalue(request.param)
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    made.service("attribution").start()
    made.run("apply", "-f", str(prices))
    return made


def test_singles_batches_duplicates_conflicts_and_poison_reconcile(system: Installation) -> None:
    singles = list(numbered("single", 500))
    members = [usage(f"member-{i}") for i in range(300)]
    batch = (b"member-0", encode("UsageBatch", {"events": members}))
    conflict = message(usage("single-0", occurred_at=now_us(), output_tokens=999))
    negative = message(usage("negative", input_tokens=-1))
    future = message(usage("future", occurred_at=now_us() + 3_600_000_000))
    year_9999 = message(usage("far", occurred_at=253_400_000_000_000_000))
    unknown = message(usage("unknown", model="nobody-knows-this"))
    oversize = message(usage("huge", attributes={"blob": "x" * 700_000}))
    valid = singles[1][1]
    poison = [
        (b"p1", b"not avro at all"),
        (b"p2", b"\x00\x00\x00\x03\xe7" + valid[5:]),
        (b"p3", valid[: len(valid) // 2]),
        (b"p4", b""),
        (b"p5", encode("CostRollup", _rollup())),
        (b"p6", valid[:5] + b"\xff" * 40),
    ]
    system.publish("usage", [*singles, batch])
    system.until("select count() from charges", lambda n: n == 800)
    system.publish("usage", [*singles[:20], batch, conflict, negative, future, year_9999, unknown, oversize, *poison])
    system.until("select count() from charges", lambda n: n == 802)
    system.until("select count() from dead_letters final", lambda n: n == 10)

    # Two cursors: what the ledger has, the roll-ups may get a moment later, and the other way round.
    system.until("select sum(events) from v_cost_minute", lambda n: n == 802)
    assert system.value("select sum(cost_usd) from v_cost") == 801 * Decimal("0.0013")
    assert system.value("select sum(cost_usd) from v_cost_daily") == 801 * Decimal("0.0013")
    assert system.value("select sum(cost_usd) from v_cost_hourly where team = 'search'") == 801 * Decimal("0.0013")
    assert system.query("select events, model from v_unpriced") == [(1, "nobody-knows-this")]
    reasons = dict(system.query("select reason, count() from dead_letters final group by reason"))
    assert reasons == {"undecodable": 4, "unknown_schema": 2, "conflict": 1, "negative_tokens": 1, "clock": 2}
    until_conserved(system, (802 + 320 + 10, 801, 0, 1, 320, 10, 0))


def test_a_restart_continues_where_it_stood_and_remembers_ids(system: Installation) -> None:
    first = list(numbered("first", 400))
    system.publish("usage", first)
    system.until("select count() from charges", lambda n: n == 400)
    assert system.service("attribution").stop() == 0
    system.publish("usage", [*numbered("second", 200), *first[:50]])
    system.service("attribution").start()
    system.until("select sum(duplicate) from ledger_ranges final", lambda n: n == 50)
    system.until("select sum(events) from v_cost_minute", lambda n: n == 600)
    system.until("select count() from charges", lambda n: n >= 600)
    assert system.query("select count(), uniqExact(event_id) from charges")[0] == (600, 600)
    assert system.value("select sum(cost_usd) from v_cost_daily") == 600 * Decimal("0.0013")


def _rollup() -> dict[str, object]:
    from spendstream.domain.rollups import SUMS

    return {
        "grain": "owner", "minute": 0, "incarnation": "x", "source_partition": 0, "epoch": 0, "last_offset": 0,
        "team": "t", "model": "m", "late": False, **dict.fromkeys(SUMS, 0),
    }  # fmt: skip


def test_a_partition_of_nothing_but_rejects_stands_still_and_says_so(installation: Installation) -> None:
    installation.service("attribution").start()
    bad = [message(usage(f"bad-{i}", input_tokens=-5)) for i in range(2_000)]
    installation.publish("usage", bad, partition=1)
    firing = "select count() from alerts final where name = 'mass_rejection' and state = 'firing'"
    installation.until(firing, lambda n: n == 1)
    assert installation.value("select count() from dead_letters") == 0
    installation.publish("usage", numbered("good", 50, provider="openai", model="gpt-4o"), partition=2)
    installation.until("select count() from charges", lambda n: n == 50)

    installation.service("attribution").kill9()
    installation.environment["SPENDSTREAM_REJECT_LIMIT"] = "1"
    installation.services.clear()
    installation.service("attribution").start()
    installation.until("select count() from dead_letters final", lambda n: n == 2_000)


@pytest.mark.embedded
def test_an_orderly_stop_in_the_middle_of_a_backlog_leaves_the_same_in_charges_and_roll_ups(
    installation: Installation, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    attribution = installation.service("attribution")
    attribution.start()
    installation.run("apply", "-f", str(prices))
    for part in range(4):  # the ledger is behind roll-ups when it is told to stop
        installation.publish("usage", list(numbered(f"part-{part}", 15_000)))
    installation.until("select count() from charges", lambda n: n > 0)
    assert attribution.stop() == 0
    counts = "select (select count() from charges), (select sum(events) from v_cost_minute)"
    charged, summed = installation.query(counts)[0]
    assert charged == summed > 0
    assert installation.query("select events_in, difference from v_conservation")[0] == (charged, 0)
    assert "not everything is in ClickHouse" not in attribution.tail()
