"""The rules an operator knows by name: hour_3x, user_10x, new_model, unpriced_usage."""

from typing import Any

import polars as pl

from spendstream.domain.anomalies import AnomalyEngine
from tests.unit.domain.anomalies_support import DAY, HOUR, MINUTE, NOW, START, USD, deltas, in_time, opened, steady


def spend(since: int, minutes: int, usd_per_hour: int, **names: Any) -> pl.DataFrame:
    cost = usd_per_hour * USD // 60
    return deltas({"minute": since + i * MINUTE, "cost_pico_usd": cost, "requests": 5, **names} for i in range(minutes))


def by_user(since: int, minutes: int, usd_per_hour: int, user: str = "u-1") -> pl.DataFrame:
    return spend(since, minutes, usd_per_hour, grain="caller", user_id=user, provider="")


YESTERDAY = spend(START, 1440, 6)
NOON = START + DAY + 12 * HOUR


def test_an_hour_at_three_times_the_day_before_fires_before_it_is_over() -> None:
    morning = spend(START + DAY, 720, 6)
    alerts = opened(AnomalyEngine().update(in_time(YESTERDAY, morning, spend(NOON, 60, 30)), NOW), "hour_3x")
    assert {tuple(sorted(a["scope"])) for a in alerts} == {("team",), ("service", "team")}
    for alert in alerts:
        # Thirty a minute: after 36 minutes it is three times what sixty minutes at six cost.
        assert 35 * MINUTE <= alert["updated_at"] - NOON <= 38 * MINUTE
        assert alert["started_at"] == NOON
        assert "an average hour of the day before cost $6.00" in alert["title"]


def test_an_hour_at_two_and_a_half_times_does_not_fire() -> None:
    rows = in_time(YESTERDAY, spend(START + DAY, 720, 6), spend(NOON, 60, 15))
    assert not opened(AnomalyEngine().update(rows, NOW), "hour_3x")


def test_a_peak_that_yesterday_had_at_the_same_hour_is_season() -> None:
    day = [spend(START + d * DAY, 720, 2) for d in range(2)]
    peak = [spend(START + d * DAY + 12 * HOUR, 60, 40) for d in range(2)]
    alerts = opened(AnomalyEngine().update(in_time(*day, *peak), NOW), "hour_3x")
    assert not alerts


def test_the_hour_alert_resolves_with_the_first_ordinary_hour() -> None:
    rest = spend(NOON + HOUR, 180, 6)
    rows = in_time(YESTERDAY, spend(START + DAY, 720, 6), spend(NOON, 60, 30), rest)
    ends = [a for a in AnomalyEngine().update(rows, NOW) if a["name"] == "hour_3x" and a["state"] == "resolved"]
    assert [a["resolved_at"] for a in ends] == [NOON + 2 * HOUR] * 2


def test_a_first_day_has_no_day_before() -> None:
    rows = in_time(spend(START, 720, 6), spend(START + 12 * HOUR, 60, 300))
    assert not opened(AnomalyEngine().update(rows, NOW), "hour_3x")


def working_days(count: int) -> list[pl.DataFrame]:
    return [by_user(START + d * DAY + 9 * HOUR, 300, 2) for d in range(count)]


def test_a_user_at_ten_times_their_own_normal_hour_fires() -> None:
    burst = START + 3 * DAY + 10 * HOUR
    alerts = opened(AnomalyEngine().update(in_time(*working_days(3), by_user(burst, 60, 60)), NOW), "user_10x")
    assert [a["scope"] for a in alerts] == [{"user_id": "u-1"}]
    assert "instead of $2.00" in alerts[0]["title"]
    assert alerts[0]["owner"] == "assistants"
    assert alerts[0]["observed_pico_usd"] >= 20 * USD


def test_a_user_on_their_ordinary_morning_does_not() -> None:
    assert not opened(AnomalyEngine().update(in_time(*working_days(6)), NOW), "user_10x")


def test_a_user_without_two_active_days_has_no_normal_yet() -> None:
    burst = by_user(START + DAY + 10 * HOUR, 60, 60)
    assert not opened(AnomalyEngine().update(in_time(*working_days(1), burst), NOW), "user_10x")


def test_owner_rows_never_count_for_a_user() -> None:
    burst = spend(START + 3 * DAY + 10 * HOUR, 60, 60, user_id="u-1")
    assert not opened(AnomalyEngine().update(in_time(*working_days(3), burst), NOW), "user_10x")


def test_caller_rows_never_count_for_an_owner() -> None:
    burst = by_user(NOON, 60, 600)
    assert not opened(AnomalyEngine().update(in_time(YESTERDAY, spend(START + DAY, 780, 6), burst), NOW), "hour_3x")


def test_the_user_alert_resolves_when_the_hour_is_ordinary_again() -> None:
    burst = START + 3 * DAY + 10 * HOUR
    rows = in_time(*working_days(3), by_user(burst, 60, 60), by_user(burst + HOUR, 120, 2))
    alerts = [a for a in AnomalyEngine().update(rows, NOW) if a["name"] == "user_10x"]
    assert alerts[-1]["state"] == "resolved"
    assert len({a["alert_id"] for a in alerts}) == 1


def test_a_model_first_used_after_the_learning_day_alerts_once() -> None:
    late = [spend(START + d * DAY, 5, 6, model="claude-opus-4.8") for d in (2, 4)]
    alerts = AnomalyEngine().update(in_time(steady(START, START + 5 * DAY, 2, 100, 10), *late), NOW)
    assert [a["scope"] for a in opened(alerts, "new_model")] == [{"provider": "anthropic", "model": "claude-opus-4.8"}]
    assert len({a["alert_id"] for a in alerts if a["name"] == "new_model"}) == 1


def test_models_of_the_learning_day_are_known() -> None:
    rows = in_time(spend(START, 5, 6), spend(START + 3 * DAY, 5, 6))
    assert not opened(AnomalyEngine().update(rows, NOW), "new_model")


def policy(*models: str) -> dict[str, Any]:
    spec = {"kind": "approved_models", "models": list(models)}
    return {"org": "default", "kind": "Policy", "name": "models", "spec": spec}


def test_a_model_outside_the_approved_list_alerts_even_while_learning() -> None:
    engine = AnomalyEngine()
    engine.set_documents([policy("anthropic/claude-haiku-*")])
    alerts = opened(engine.update(spend(START, 10, 6), NOW), "new_model")
    assert "a model no policy approves" in alerts[0]["title"]


def test_an_approved_model_may_come_late() -> None:
    engine = AnomalyEngine()
    engine.set_documents([policy("claude-sonnet-4.6", "claude-opus-4.8")])
    rows = in_time(spend(START, 5, 6), spend(START + 3 * DAY, 5, 6, model="claude-opus-4.8"))
    assert not opened(engine.update(rows, NOW), "new_model")


def test_a_policy_that_comes_later_is_held_against_models_in_use() -> None:
    engine = AnomalyEngine()
    engine.update(spend(START, 10, 6), NOW)
    engine.set_documents([policy("openai/*")])
    alerts = engine.update(spend(START + HOUR, 10, 6), NOW) + engine.update(spend(START + 2 * HOUR, 10, 6), NOW)
    assert len(opened(alerts, "new_model")) == 1


def test_approving_a_model_resolves_its_alert() -> None:
    engine = AnomalyEngine()
    engine.set_documents([policy("openai/*")])
    engine.update(spend(START, 10, 6), NOW)
    engine.set_documents([policy("openai/*", "anthropic/*")])
    alerts = engine.update(spend(START + HOUR, 10, 6), NOW)
    assert [a["state"] for a in alerts if a["name"] == "new_model"] == ["resolved"]


def test_unpriced_usage_alerts_once_per_model_as_governance() -> None:
    engine = AnomalyEngine()
    rows = [
        {"minute": START + i * MINUTE, "model": model, "events": 3, "unpriced_events": 3, "requests": 3}
        for i in range(30)
        for model in ("mystery-1", "mystery-2")
    ]
    alerts = engine.update(deltas(rows), NOW)
    assert [(a["kind"], a["name"], a["scope"]["model"]) for a in alerts] == [
        ("governance", "unpriced_usage", "mystery-1"),
        ("governance", "unpriced_usage", "mystery-2"),
    ]
    assert "unknown, not zero" in alerts[0]["title"]


def test_partly_priced_usage_alerts_once_per_model_too() -> None:
    rows = [
        {"minute": START + i * MINUTE, "model": model, "events": 2, "requests": 2, "cost_pico_usd": USD, kind: 2}
        for i in range(30)
        for model, kind in (("half-known", "partial_events"), ("known", "priced_events"))
    ]
    alerts = AnomalyEngine().update(deltas(rows), NOW)
    assert [(a["kind"], a["name"], a["scope"]["model"]) for a in alerts] == [
        ("governance", "unpriced_usage", "half-known")
    ]
    assert "with a price for only some of its token classes since 2026-03-02 00:00" in alerts[0]["title"]
    assert "lacks a class that is used" in alerts[0]["root_cause"]
    assert alerts[0]["description"].startswith("2 records")


def test_usage_without_a_price_is_dated_by_its_own_minute_however_late_its_record_is() -> None:
    # What an import of a week looks like on `costs`: a record a day behind the one before it is late, and counts in a
    # minute of the day after its own.
    first = START + HOUR
    rows = deltas(
        [
            {"minute": first, "model": "alpha", "events": 1, "requests": 1, "unpriced_events": 1},
            {"minute": first + DAY, "model": "other", "events": 1, "requests": 1, "priced_events": 1},
            {"minute": first, "model": "beta", "events": 1, "requests": 1, "partial_events": 1},
            {"minute": first + 7 * DAY, "model": "other", "events": 1, "requests": 1, "priced_events": 1},
        ]
    )
    alerts = opened(AnomalyEngine().update(rows, NOW), "unpriced_usage")
    assert [a["scope"]["model"] for a in alerts] == ["alpha", "beta"]
    for alert in alerts:
        assert "since 2026-03-02 01:00" in alert["title"]
        assert alert["started_at"] == first


def test_a_new_model_is_dated_by_its_own_minute_however_late_its_record_is() -> None:
    first = START + 3 * DAY
    late = deltas([{"minute": first, "model": "claude-opus-4.8", "events": 1, "requests": 1, "cost_pico_usd": USD}])
    rows = pl.concat([steady(START, first + 6 * HOUR, 2, 100, 10), late, spend(first + 7 * HOUR, 5, 6)])
    [alert] = opened(AnomalyEngine().update(rows, NOW), "new_model")
    assert alert["started_at"] == first
    assert "since 2026-03-05 00:00" in alert["title"]
