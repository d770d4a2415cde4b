"""The bench itself: its arithmetic, that the rival computes what the truth says, and one small run of the whole."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.bench.drain import Drain, Totals
from loadgen.bench.peers.per_event import Attribution, PriceTable
from loadgen.bench.result import as_json, judge
from loadgen.bench.workload import company, price_documents, scenario, write_workload
from loadgen.packing import Packer
from loadgen.pricing import Book
from loadgen.run import Emission
from loadgen.truth import Truth
from loadgen.world import SECOND, World
from tests.support.stack import require_embedded, require_kafka

TOTALS = Totals(990, 5_000, {"priced": 980, "partial": 0, "unpriced": 10}, 990, 5_000, 990, 5_000)


def drained(side: str, seconds: float, number: int = 1) -> Drain:
    """1 000 events in so many seconds."""
    return Drain(side, number, 1_000, seconds, seconds, seconds, seconds, 10, 2.0, 1.0, TOTALS)


def test_a_side_is_its_median_and_its_ratio_is_taken_between_medians() -> None:
    drains = [drained("spendstream", s) for s in (0.1, 0.05, 0.2)] + [drained("faust", s) for s in (1.0, 2.0, 4.0)]
    ours, theirs = judge(drains, TOTALS, at_least=10).sides
    assert (ours.events_per_s, ours.times_idiomatic) == (10_000, 20)
    assert (theirs.events_per_s, theirs.times_idiomatic) == (500, 1)


def test_spread_is_the_range_of_the_rates_over_their_median() -> None:
    drains = [drained("faust", seconds) for seconds in (1.0, 2.0, 4.0)]
    assert judge(drains, TOTALS, at_least=10).sides[0].spread == 1.5


def test_cpu_is_counted_per_million_events() -> None:
    side = judge([drained("faust", 1.0)], TOTALS, at_least=10).sides[0]
    assert (side.cpu_s_per_million, side.stack_cpu_s_per_million) == (2_000, 1_000)


def test_a_ratio_below_the_demand_fails_and_one_at_it_passes() -> None:
    drains = [drained("spendstream", 0.1), drained("faust", 1.0)]
    assert judge(drains, TOTALS, at_least=10).failures == []
    assert "10.0 × faust, less than 10.1 ×" in judge(drains, TOTALS, at_least=10.1).failures[0]


def test_one_pico_dollar_too_much_makes_the_bench_void() -> None:
    wrong = replace(drained("faust", 1.0, 2), totals=replace(TOTALS, cost_pico_usd=5_001))
    verdict = judge([drained("spendstream", 0.05), drained("faust", 1.0), wrong], TOTALS, at_least=10)
    assert verdict.failures == ["faust, round 2: cost_pico_usd is 5001, must be 5000"]


def test_the_result_is_plain_json() -> None:
    drains = [drained("spendstream", 0.1), drained("faust", 1.0)]
    whole = json.loads(json.dumps(as_json(judge(drains, TOTALS, 10), drains, {"cores": 2})))
    assert whole["sides"][0]["times_idiomatic"] == 10
    assert whole["drains"][1]["totals"]["statuses"]["unpriced"] == 10


def test_the_price_list_has_several_hundred_models_and_every_caller_uses_some_of_it() -> None:
    listed = {document["name"] for document in price_documents()}
    used = {model for caller in company()["callers"] for model in caller["models"]}
    assert len(listed) == 300
    assert used - listed == {"mystery/unlisted"}


@pytest.mark.parametrize("batch", [0, 100])
def test_the_rival_comes_to_the_truth_whatever_the_packing(tmp_path: Path, batch: int) -> None:
    prices, world = write_workload(tmp_path)
    plan = scenario(prices, world, events=3_000, batch=batch, seed=7)
    start = 1_800_000_000 * SECOND
    events = [r for *_, rs in World(plan.world_spec(), 7, 1_000.0).events(start, start + 3 * SECOND, "t-") for r in rs]
    emissions = [Emission(record["occurred_at"], "event", record, record["event_id"]) for record in events]
    truth = Truth(Book.load(prices))
    truth.observe(emissions)
    expected = Totals.of(truth.file("t", "t-", [], {}))

    rival = Attribution(PriceTable.load(prices))
    messages = Packer(4, 7, plan.history_batches.share, plan.history_batches.size).pack(emissions)
    for offset, message in enumerate([*messages, *messages[:5]]):  # five records arrive twice
        assert message.value is not None
        rival.message(message.value, message.partition, offset, start // 1_000)
    rows = [record for record in rival.take().records() if record["grain"] == "owner"]
    assert sum(row["events"] for row in rows) == expected.charges == len(events)
    assert sum(row["cost_pico_usd"] for row in rows) == expected.cost_pico_usd > 0
    assert {s: sum(row[f"{s}_events"] for row in rows) for s in expected.statuses} == expected.statuses


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.timeout(1_200)
def test_attribution_on_apache_kafka_is_ten_times_an_idiomatic_faust_agent() -> None:
    require_embedded()
    require_kafka()
    command = [sys.executable, "-m", "spendstream", "bench", "--events", "200000", "--rounds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    ours, theirs = result["drains"]
    assert ours["totals"] == theirs["totals"]
    assert result["sides"][0]["times_idiomatic"] >= 10
