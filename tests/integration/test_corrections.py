"""A price that comes after the usage: unpriced charges are priced by themselves, priced ones only when asked."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.corrections import price, tell, totals
from tests.support.installation import Installation
from tests.support.stack import eventually
from tests.support.totals import EACH, until_conserved
from tests.support.usage import message, now_us, numbered, usage
from tests.support.windows import lasting

pytestmark = pytest.mark.embedded
BUDGET = """
kind: Budget
name: small
spec:
  scope: {team: search}
  window: %s
  amount_usd: 1000
"""


@pytest.fixture
def system(installation: Installation) -> Installation:
    services = [installation.service("attribution"), installation.service("budgets")]
    for service in services:
        service.start(wait=False)
    for service in services:
        eventually(service.is_ready)
    return installation


def test_unpriced_usage_is_priced_everywhere_once_its_price_arrives(system: Installation, tmp_path: Path) -> None:
    (tmp_path / "budget.yaml").write_text(BUDGET % lasting("month", "week", back=timedelta(hours=6)))
    system.run("apply", "-f", str(tmp_path / "budget.yaml"))
    failed = [message(usage(f"failed-{i}", status="timeout", user_id="u-1")) for i in range(20)]
    old = numbered("old", 30, occurred_at=now_us() - 5 * 3_600_000_000)
    system.publish("usage", [*numbered("new", 250), *failed, *old, *numbered("never", 7, model="nobody-knows-this")])
    system.until("select count() from charges", lambda n: n == 307)
    system.until("select sum(unpriced_events) from v_cost_minute", lambda n: n == 307)
    before = system.value("select now64(6)")

    tell(system, tmp_path, price())
    system.until("select count() from v_unpriced", lambda n: n == 1)
    system.until("select sum(cost_usd) from v_cost_daily", lambda usd: usd == 300 * EACH)
    assert totals(system) == {"v_cost": 300 * EACH, "v_cost_minute": 300 * EACH, "v_cost_hourly": 300 * EACH}
    assert system.query("select status, count() from v_cost group by status order by 1") == [
        ("priced", 300), ("unpriced", 7),
    ]  # fmt: skip
    assert system.query("select events, model from v_unpriced") == [(7, "nobody-knows-this")]
    until_conserved(system, (307, 300, 0, 7, 0, 0, 0))
    sums = "sum(events), sum(priced_events), sum(unpriced_events), sum(error_cost_usd)"
    assert system.query(f"select {sums} from v_cost_minute")[0] == (307, 300, 7, 20 * EACH)
    system.until("select sum(cost_usd) from caller_cost_by_minute final", lambda usd: usd == 20 * EACH)
    spent = "select spent_usd from budget_status final where budget = 'small'"
    system.until(spent, lambda usd: usd == 300 * EACH)
    # The export splits what was priced later by token class, as if it had been priced at once.
    classes = "select token_class, sum(cost_usd) from v_charge_classes group by token_class order by token_class"
    assert system.query(classes) == [
        ("input_uncached", 300 * Decimal("0.001")), ("output_text", 300 * Decimal("0.0003")),
    ]  # fmt: skip
    assert system.value("select sum(cost_usd) from v_unit_economics where grain = 'month'") == 300 * EACH
    # What was known before stays what was known then.
    then = f"select sum(cost_usd), countIf(status = 'unpriced') from v_cost_as_known(known_at = '{before}')"
    assert system.query(then)[0] == (0, 307)
    now = "select sum(cost_usd), countIf(status = 'unpriced') from v_cost_as_known(known_at = now64(6))"
    assert system.query(now)[0] == (300 * EACH, 7)
    assert system.query("select distinct reason, price_id_after from corrections final") == [
        ("repair", "test/small@2020-01-01T00:00:00Z#1")
    ]


def test_a_back_dated_price_moves_history_only_by_reprice_and_only_once(system: Installation, tmp_path: Path) -> None:
    tell(system, tmp_path, price())
    system.publish("usage", [*numbered("a", 100), *numbered("b", 40, team="ads", service="bids")])
    system.until("select sum(events) from v_cost_minute", lambda n: n == 140)
    system.until("select count() from charges", lambda n: n == 140)
    tell(system, tmp_path, price(input=Decimal("0.5")))

    period = ("--from", "2020-01-01", "--to", "2999-01-01")
    diff = json.loads(system.run("reprice", *period, "--json").stdout)
    assert (diff["examined"], diff["changed"], diff["applied"]) == (140, 140, False)
    assert (diff["before_usd"], diff["after_usd"]) == ("0.182000000000", "0.112000000000")
    groups = {group["team"]: group for group in diff["groups"]}
    assert groups["ads"] == {
        "org": "default", "provider": "test", "model": "small", "team": "ads",
        "status_before": "priced", "status_after": "priced",
        "price_id_before": "test/small@2020-01-01T00:00:00Z#1", "price_id_after": "test/small@2020-01-01T00:00:00Z#2",
        "events": 40, "before_usd": "0.052000000000", "after_usd": "0.032000000000", "delta_usd": "-0.020000000000",
    }  # fmt: skip
    ours = json.loads(system.run("reprice", *period, "--model", "test/small", "--org", "default", "--json").stdout)
    assert ours["groups"] == diff["groups"] and ours["run_id"] != diff["run_id"]
    assert system.value("select count() from corrections") == 0
    assert totals(system) == dict.fromkeys(("v_cost", "v_cost_minute", "v_cost_hourly"), 140 * EACH)

    applied = json.loads(system.run("reprice", *period, "--apply", "--json").stdout)
    assert (applied["applied"], applied["changed"], applied["run_id"]) == (True, 140, diff["run_id"])
    assert totals(system) == dict.fromkeys(("v_cost", "v_cost_minute", "v_cost_hourly"), 140 * Decimal("0.0008"))
    again = json.loads(system.run("reprice", *period, "--apply", "--json").stdout)
    assert (again["changed"], again["groups"], again["delta_usd"]) == (0, [], "0.000000000000")
    assert system.query("select count(), max(revision), sum(cost_usd) from corrections final")[0] == (
        140, 1, -140 * Decimal("0.0005"),
    )  # fmt: skip

    other = json.loads(system.run("reprice", *period, "--model", "test/large", "--json").stdout)
    assert (other["examined"], other["changed"]) == (0, 0)
    assert "nothing changes" in system.run("reprice", *period).stdout


def test_a_repair_completes_partial_charges_and_leaves_priced_ones_alone(system: Installation, tmp_path: Path) -> None:
    tell(system, tmp_path, price())
    system.publish("usage", [*numbered("whole", 10), *numbered("heard", 10, audio_input_tokens=400)])
    system.until("select sum(events) from v_cost_minute", lambda n: n == 20)
    system.until("select countIf(status = 'partial') from v_cost", lambda n: n == 10)
    # 400 of the 1 000 input tokens are audio, which has no price yet: 600 × $1/M + 100 × $3/M.
    assert system.value("select sum(cost_usd) from v_cost where status = 'partial'") == 10 * Decimal("0.0009")

    tell(system, tmp_path, price(input=Decimal("0.5")).replace("{", "{audio_input: 2, "))
    system.until("select countIf(status = 'partial') from v_cost", lambda n: n == 0)
    # 600 × $0.5/M + 400 × $2/M + 100 × $3/M for those; the others keep what they were priced with.
    expected = 10 * Decimal("0.0014") + 10 * EACH
    system.until("select sum(cost_usd) from v_cost_daily", lambda usd: usd == expected)
    system.until("select sum(cost_usd) from v_cost", lambda usd: usd == expected)
    assert system.query("select status_before, status_after, count() from corrections final group by 1, 2") == [
        ("partial", "priced", 10)
    ]
    until_conserved(system, (20, 20, 0, 0, 0, 0, 0))


def test_a_price_for_the_name_events_said_reaches_what_was_rated_under_an_alias(
    system: Installation, tmp_path: Path
) -> None:
    dated = {"provider": "openai", "model": "gpt-4o-2024-08-06"}
    system.publish("usage", [*numbered("dated", 10, **dated), *numbered("plain", 5, provider="openai", model="gpt-4o")])
    system.until("select count() from charges", lambda n: n == 15)
    names = "select model, reported_model, count() from charges group by 1, 2 order by 2"
    assert system.query(names) == [("gpt-4o", "gpt-4o", 5), ("gpt-4o", "gpt-4o-2024-08-06", 10)]
    published = system.value("select sum(cost_usd) from v_cost") / 15

    tell(system, tmp_path, price(model="gpt-4o-2024-08-06").replace("test", "openai"))
    period = ("--from", "2020-01-01", "--to", "2999-01-01", "--model", "openai/gpt-4o-2024-08-06")
    applied = json.loads(system.run("reprice", *period, "--apply", "--json").stdout)
    assert (applied["examined"], applied["changed"]) == (10, 10)
    expected = 10 * EACH + 5 * published
    assert totals(system) == {"v_cost": expected, "v_cost_minute": expected, "v_cost_hourly": expected}


def test_many_unpriced_models_are_repaired_once_their_prices_arrive(system: Installation, tmp_path: Path) -> None:
    models = [f"late-{i}" for i in range(120)]
    system.publish("usage", [message(usage(f"{model}-{i}", model=model)) for model in models for i in range(2)])
    system.until("select sum(unpriced_events) from v_cost_minute", lambda n: n == 240)
    tell(system, tmp_path, "---\n".join(price(model=model) for model in models[:-1]))
    system.until("select sum(cost_usd) from v_cost", lambda usd: usd == 238 * EACH)
    system.until("select sum(events) from v_unpriced", lambda n: n == 2)
