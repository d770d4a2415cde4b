"""What an operator sees: levels, recovery, window ends, late spend, changed documents, words."""

import json
from typing import Any

import pytest

from spendstream.domain.budgets import BudgetEngine
from spendstream.schemas import decode, encode
from tests.unit.domain.budgets_support import DAY, HOUR, MINUTE, USD, at, budget, deltas, engine, fired, spend, states

T = at("2026-03-02 14:00")
NOW = T + 30 * MINUTE


def test_a_jump_fires_every_level_it_passed_once_and_in_order() -> None:
    alerts = engine(budget()).update(spend(T, 95), NOW).alerts
    assert fired(alerts) == [0.7, 0.8, 0.9]
    assert [a["severity"] for a in alerts] == ["notice", "warning", "action"]
    assert [a["revision"] for a in alerts] == [1, 2, 3]
    assert len({a["alert_id"] for a in alerts}) == 1


def test_a_level_is_reached_at_exactly_its_share_and_not_a_pico_dollar_before() -> None:
    running = engine(budget())
    assert running.update(deltas([(T, 70 * USD - 1, {})]), NOW).alerts == []
    assert fired(running.update(deltas([(T, 1, {})]), NOW).alerts) == [0.7]


def test_a_level_between_two_pico_dollars_needs_the_upper_one() -> None:
    running = engine(budget(amount_usd="0.000000000003"))
    assert running.update(deltas([(T, 2, {})]), NOW).alerts == []  # 70 % are 2.1 pico-dollars
    assert fired(running.update(deltas([(T, 1, {})]), NOW).alerts) == [0.7, 0.8, 0.9, 1.0]


def test_spend_that_stays_between_two_levels_says_nothing() -> None:
    running = engine(budget())
    running.update(spend(T, 71), NOW)
    changes = running.update(spend(T + MINUTE, 5), NOW)
    assert (changes.alerts, changes.enforcement) == ([], [])


def test_a_correction_below_the_lowest_fired_level_resolves_and_the_level_stays_silent() -> None:
    running = engine(budget())
    running.update(spend(T, 85), NOW)
    assert running.update(spend(T, -10), NOW).alerts == []  # 75 is still above 70 %
    assert states(running.update(spend(T, -6), NOW).alerts) == [("resolved", "warning")]
    assert running.update(spend(T, 10), NOW).alerts == []
    again = running.update(spend(T, 12), NOW).alerts  # 91: a level that never fired
    assert states(again) == [("firing", "action")]
    assert again[0]["revision"] == 4


def test_a_level_passed_on_the_way_is_reached_though_the_batch_ends_below_it() -> None:
    alerts = engine(budget()).update(deltas([(T, 85 * USD, {}), (T, -40 * USD, {})]), NOW).alerts
    assert states(alerts) == [("firing", "notice"), ("firing", "warning"), ("resolved", "warning")]


def test_the_end_of_the_window_resolves_and_the_next_window_fires_again() -> None:
    running = engine(budget())
    first = running.update(spend(T, 75), NOW).alerts
    ended = running.tick(T + HOUR).alerts
    assert states(ended) == [("resolved", "notice")]
    assert (ended[0]["resolved_at"], ended[0]["updated_at"]) == (T + HOUR, T + HOUR)
    assert "$75.00 of $100.00" in ended[0]["description"]
    second = running.update(spend(T + HOUR, 75), NOW + HOUR).alerts
    assert fired(second) == [0.7]
    assert second[0]["alert_id"] != first[0]["alert_id"]


def test_late_spend_fires_marked_and_resolves_at_once_without_enforcing() -> None:
    running = engine(budget())
    running.update(spend(T, 75), NOW)
    running.tick(T + 3 * HOUR)
    late = running.update(spend(T + MINUTE, 40), T + 3 * HOUR)
    assert fired(late.alerts) == [0.8, 0.9, 1.0, 1.1]
    assert all(alert["late"] for alert in late.alerts)
    assert late.alerts[-1]["state"] == "resolved"
    assert late.alerts[-1]["resolved_at"] == T + HOUR
    assert late.enforcement == []
    assert [str(row["spent_usd"]) for row in late.status] == ["115.000000000000"]


def test_late_spend_fires_only_the_levels_it_passes_itself() -> None:
    running = engine(now=T)
    running.update(spend(T, 75), NOW)
    running.set_documents([budget()], T + 3 * HOUR)  # declared when that hour was long over
    assert fired(running.update(spend(T, 10), T + 3 * HOUR).alerts) == [0.8]


def test_late_spend_of_many_kinds_adds_up_in_one_window() -> None:
    running = engine(budget())
    running.update(spend(T, 30, model="a"), NOW)
    running.tick(T + 2 * HOUR)
    kinds = ("a", "b", "a", "b")
    late = [running.update(spend(T, 12, model=model), T + 2 * HOUR + n) for n, model in enumerate(kinds)]
    assert [fired(changes.alerts) for changes in late] == [[], [], [], [0.7]]  # 42, 54, 66, 78


def test_a_month_that_is_over_is_still_whole_when_its_first_days_have_left_the_cube() -> None:
    running = engine(budget(window="month"), now=T)
    running.update(spend(T, 50), NOW)
    for day in range(55):
        running.tick(T + day * DAY)
    late = running.update(spend(at("2026-03-30"), 25), T + 54 * DAY)
    assert fired(late.alerts) == [0.7]


def test_the_last_seconds_of_an_hour_are_counted_after_its_end() -> None:
    running = engine(budget())
    running.update(spend(T, 60), NOW)
    running.tick(T + HOUR)
    assert fired(running.update(spend(T + 59 * MINUTE, 10), T + HOUR + 1).alerts) == [0.7]


def test_spend_beyond_the_horizon_is_counted_as_too_old() -> None:
    running = engine(budget())
    changes = running.update(spend(T, 500), T + 41 * DAY)
    assert (changes.too_old, changes.alerts) == (1, [])


def test_only_spend_inside_the_scope_counts() -> None:
    narrow = budget(scope={"team": "search", "environment": "prod"})
    running = engine(narrow)
    assert running.update(spend(T, 500, team="ads"), NOW).alerts == []
    assert running.update(spend(T, 500, environment="dev"), NOW).alerts == []
    assert running.update(spend(T, 500, org="other"), NOW).alerts == []
    assert fired(running.update(spend(T, 70), NOW).alerts) == [0.7]


def test_an_empty_scope_is_the_whole_organisation() -> None:
    running = engine(budget(scope={}))
    running.update(spend(T, 40, team="ads"), NOW)
    alerts = running.update(spend(T, 40, team="search"), NOW).alerts
    assert fired(alerts) == [0.7, 0.8]
    assert "the whole organisation default had spent" in alerts[0]["title"]


def test_two_organisations_never_share_an_alert() -> None:
    running = engine(budget(), budget(org="other"))
    alerts = running.update(deltas([(T, 75 * USD, {}), (T, 75 * USD, {"org": "other"})]), NOW).alerts
    assert {alert["org"] for alert in alerts} == {"default", "other"}
    assert len({alert["alert_id"] for alert in alerts}) == 2


def test_a_new_budget_counts_the_spend_already_in_its_window() -> None:
    running = engine(now=T)
    month_start = at("2026-03-01")
    for day in range(10):
        running.update(spend(month_start + day * DAY, 9), month_start + day * DAY + HOUR)
    running.update(spend(month_start - DAY, 1000), month_start + 10 * DAY)  # another month
    running.update(spend(month_start, 1000, team="ads"), month_start + 10 * DAY)  # another team
    changes = running.set_documents([budget(window="month")], month_start + 10 * DAY)
    assert fired(changes.alerts) == [0.7, 0.8, 0.9]
    assert changes.alerts[0]["observed_pico_usd"] == 90 * USD


def test_a_new_budget_also_counts_what_follows() -> None:
    running = engine(now=T)
    running.update(spend(T, 40), NOW)
    running.set_documents([budget()], NOW)
    assert fired(running.update(spend(T, 40), NOW).alerts) == [0.7, 0.8]


def test_the_same_documents_again_change_nothing() -> None:
    running = engine(budget(), budget("r", window="request"))
    running.update(spend(T, 105), NOW)
    changes = running.set_documents([budget(), budget("r", window="request")], NOW)
    assert (changes.alerts, changes.enforcement) == ([], [])


def test_a_raised_amount_resolves_and_arms_the_levels_that_are_ahead_again() -> None:
    running = engine(budget(amount_usd=100))
    running.update(spend(T, 85), NOW)
    raised = running.set_documents([budget(amount_usd=200)], NOW)
    assert states(raised.alerts) == [("resolved", "warning")]
    assert fired(running.update(spend(T, 60), NOW).alerts) == [0.7]  # 145 of 200


def test_a_lowered_amount_fires_only_what_it_newly_passes() -> None:
    running = engine(budget(amount_usd=100))
    running.update(spend(T, 85), NOW)
    assert fired(running.set_documents([budget(amount_usd=90)], NOW).alerts) == [0.9]


def test_a_withdrawn_budget_resolves_its_alert_and_lets_callers_go() -> None:
    running = engine(budget())
    running.update(spend(T, 120), NOW)
    changes = running.set_documents([], NOW)
    assert states(changes.alerts) == [("resolved", "page")]
    assert [state["action"] for state in changes.enforcement] == ["allow"]


def test_a_budget_that_comes_back_in_the_same_window_does_not_repeat_itself() -> None:
    running = engine(budget())
    running.update(spend(T, 85), NOW)
    running.set_documents([], NOW)
    assert running.set_documents([budget()], NOW).alerts == []


def test_a_rolling_window_forgets_what_slides_out_and_begins_anew_afterwards() -> None:
    running = engine(budget(window={"rolling_hours": 2}), now=T)
    assert fired(running.update(spend(T, 75), T + MINUTE).alerts) == [0.7]
    assert running.tick(T + HOUR).alerts == []
    assert states(running.tick(T + 2 * HOUR).alerts) == [("resolved", "notice")]
    running.tick(T + 5 * HOUR)
    assert fired(running.update(spend(T + 5 * HOUR, 75), T + 5 * HOUR).alerts) == [0.7]


def test_a_rolling_alert_keeps_its_identity_through_a_crash() -> None:
    rolling = budget(window={"rolling_hours": 2})
    published = engine(rolling, now=T).update(spend(T, 75), T + MINUTE).alerts
    later = BudgetEngine()
    later.recall(published)
    assert later.set_documents([rolling], T + HOUR).alerts == []
    (worse,) = later.update(deltas([(T, 75 * USD, {}), (T + HOUR, 6 * USD, {})]), T + HOUR).alerts
    assert (worse["alert_id"], worse["level"], worse["revision"]) == (published[0]["alert_id"], 0.8, 2)


def test_a_rolling_window_adds_up_across_the_hours() -> None:
    running = engine(budget(window={"rolling_hours": 2}), now=T)
    assert running.update(spend(T, 40), T + MINUTE).alerts == []
    assert fired(running.update(spend(T + HOUR, 40), T + HOUR).alerts) == [0.7, 0.8]


def test_an_acknowledged_alert_stays_quiet_until_it_becomes_worse() -> None:
    running = engine(budget())
    (alert,) = running.update(spend(T, 75), NOW).alerts
    running.acknowledge(alert | {"state": "acknowledged", "revision": 2})
    assert running.status(NOW)[0]["state"] == "acknowledged"
    (worse,) = running.update(spend(T, 6), NOW).alerts
    assert (worse["state"], worse["severity"], worse["revision"]) == ("firing", "warning", 3)


def test_names_that_come_and_go_do_not_pile_up_and_sums_stay_right() -> None:
    running = engine(budget(window="month"), now=T)
    for day in range(100):
        now = T + day * DAY
        running.update(deltas([(now, USD, {"project": f"job-{day}-{run}"}) for run in range(20)]), now)
        running.tick(now)
    assert len(running.snapshot()["spend"]["combinations"]) < 20 * 90
    assert running.size[0] < 20 * 45
    now = T + 99 * DAY  # 9 June
    assert running.status(now)[0]["spent_usd"] == 9 * 20
    running.set_documents([budget("declared later", window="month")], now)
    assert running.status(now)[0]["spent_usd"] == 9 * 20


def test_the_title_is_a_sentence_with_money_share_and_window() -> None:
    alert = engine(budget(amount_usd=500)).update(spend(T, 412.10), NOW).alerts[-1]
    words = "search had spent $412.10 of $500.00 (82 %) in the hour from 14:00 UTC when it reached 80 % (warning)"
    assert alert["title"] == words
    assert alert["owner"] == "search"
    assert alert["runbook"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"window": "day", "timezone": "Europe/Berlin"}, "on 2 March 2026 (Europe/Berlin)"),
        ({"window": "week"}, "in the week from 2 March 2026"),
        ({"window": "month"}, "in March 2026"),
        ({"window": {"rolling_hours": 6}}, "in the last 6 hours"),
        ({"window": "hour", "timezone": "Europe/Berlin"}, "in the hour from 15:00 CET"),
    ],
)
def test_each_window_has_its_words(spec: dict[str, Any], words: str) -> None:
    alert = engine(budget(**spec), now=NOW).update(spend(T, 75), NOW).alerts[0]
    assert alert["title"] == f"search had spent $75.00 of $100.00 (75 %) {words} when it reached 70 % (notice)"


def test_a_jump_over_all_levels_names_the_level_of_each_alert() -> None:
    alerts = engine(budget(amount_usd=30)).update(spend(T, 34.73), NOW).alerts
    steps = ["70 % (notice)", "80 % (warning)", "90 % (action)", "100 % (critical)", "110 % (page)"]
    start = "search had spent $34.73 of $30.00 (115 %) in the hour from 14:00 UTC when it reached "
    assert [alert["title"] for alert in alerts] == [start + step for step in steps]


def test_the_description_names_what_drove_the_spend() -> None:
    rows = [(T, 60 * USD, {"model": "big"}), (T, 20 * USD, {"model": "small", "service": "mail"})]
    alert = engine(budget()).update(deltas(rows), NOW).alerts[0]
    assert "Top models: big $60.00 (75 %), small $20.00 (25 %)." in alert["description"]
    assert "Top services: chat $60.00 (75 %), mail $20.00 (25 %)." in alert["description"]


def test_money_at_stake_is_the_overspend_or_what_the_pace_leads_to() -> None:
    running = engine(budget(), now=NOW)
    below = running.update(spend(T, 75), NOW).alerts[-1]
    assert below["at_stake_pico_usd"] == 50 * USD  # 75 in half an hour: 150 at its end
    assert below["per_hour_pico_usd"] == 150 * USD
    over = running.update(spend(T, 45), NOW).alerts[-1]
    assert (over["observed_pico_usd"], over["limit_pico_usd"]) == (120 * USD, 100 * USD)
    assert over["at_stake_pico_usd"] == 20 * USD


def test_status_has_a_row_per_budget_in_the_shape_of_the_table() -> None:
    running = engine(budget("quiet", scope={"team": "ads"}), budget(), budget("ceiling", window="request"), now=T)
    running.update(spend(T, 75), NOW)
    quiet, spent = running.status(NOW)
    assert (quiet["budget"], quiet["state"], quiet["spent_usd"]) == ("quiet", "ok", 0)
    assert (spent["window_start"], spent["window_end"]) == (T, T + HOUR)
    assert (spent["share"], spent["state"], spent["severity"]) == (0.75, "firing", "notice")
    assert (spent["amount_usd"], spent["spent_usd"], spent["forecast_usd"]) == (100, 75, 150)


def test_records_travel_and_a_snapshot_is_json() -> None:
    budgets = [budget(exempt={"service": ["payments"]}), budget("rolling", window={"rolling_hours": 3})]
    running = engine(*budgets, now=T)
    changes = running.update(spend(T, 120), NOW)
    for name, records in (("Alert", changes.alerts), ("EnforcementState", changes.enforcement)):
        assert records
        for record in records:
            assert decode(encode(name, record))[0] == name
    twin = BudgetEngine.restore(json.loads(json.dumps(running.snapshot())))
    assert json.dumps(twin.snapshot()) == json.dumps(running.snapshot())
    assert twin.status(NOW) == running.status(NOW)


def test_a_snapshot_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 0"):
        BudgetEngine.restore({"version": 0})


def test_sums_beyond_64_bits_stay_exact_inside_and_are_told_as_the_most_the_wire_carries() -> None:
    running = engine(budget(window="month", amount_usd=9_000_000), now=T)
    for quarter in range(4):
        changes = running.update(spend(T + quarter * 15 * MINUTE, 4_000_000), NOW + HOUR)
        for alert in changes.alerts:
            encode("Alert", alert)
    assert running.status(NOW + HOUR)[0]["spent_usd"] == 16_000_000
    assert BudgetEngine.restore(running.snapshot()).status(NOW + HOUR)[0]["spent_usd"] == 16_000_000
