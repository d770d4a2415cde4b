"""What on-call sees: the classic incident within three minutes, one alert per incident, its words and its money."""

import polars as pl
import pytest

from spendstream.domain.anomalies import AnomalyEngine
from spendstream.schemas import decode, encode
from tests.unit.domain.anomalies_support import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    START,
    USD,
    deltas,
    in_time,
    minute_by_minute,
    opened,
    ordinary_world,
    steady,
)

# A nightly job: 50 000 requests in six hours.
NIGHT = START + 3 * DAY + 2 * HOUR
BACKGROUND = steady(START, NIGHT, 139, 200, 500)
INCIDENT = steady(NIGHT, NIGHT + 2 * HOUR, 139, 200, 15_000)


def test_the_classic_incident_is_caught_within_three_minutes_and_names_model_and_cause() -> None:
    engine = AnomalyEngine()
    assert engine.update(BACKGROUND, NOW) == []
    heard = None
    for minute in INCIDENT.partition_by("minute", maintain_order=True):
        alerts = opened(engine.update(minute, NOW), "spike")
        if alerts:
            heard = (minute["minute"][0], alerts[0])
            break
    assert heard is not None
    when, alert = heard
    assert when - NIGHT <= 3 * MINUTE
    assert "output tokens per request on claude-sonnet-4.6 went from 500 to 15 000" in alert["title"]
    assert "assistants/chat spends $" in alert["title"]
    assert alert["scope"] == {"team": "assistants", "service": "chat", "model": "claude-sonnet-4.6"}
    assert alert["owner"] == "assistants"
    assert alert["started_at"] == NIGHT


def test_an_alert_is_a_record_of_the_wire() -> None:
    engine = AnomalyEngine()
    alert = opened(engine.update(in_time(BACKGROUND, INCIDENT), NOW), "spike")[0]
    name, record = decode(encode("Alert", dict(alert)))
    assert name == "Alert"
    assert record["kind"] == "anomaly"
    assert record["at_stake_pico_usd"] == record["observed_pico_usd"] - record["expected_pico_usd"]


def test_money_at_stake_is_the_excess_over_ordinary_spend() -> None:
    after = steady(NIGHT + 2 * HOUR, NIGHT + 6 * HOUR, 139, 200, 500)
    alerts = AnomalyEngine().update(in_time(BACKGROUND, INCIDENT, after), NOW)
    end = next(a for a in alerts if a["name"] == "spike" and a["state"] == "resolved")
    usual = INCIDENT["requests"].to_numpy().sum() * (200 * 3_000_000 + 500 * 15_000_000)
    excess = INCIDENT["cost_pico_usd"].to_numpy().sum() - usual
    assert end["at_stake_pico_usd"] == pytest.approx(excess, rel=0.03)


def test_one_incident_is_one_alert_that_escalates_and_resolves() -> None:
    after = steady(NIGHT + 2 * HOUR, NIGHT + 6 * HOUR, 139, 200, 500)
    alerts = AnomalyEngine().update(in_time(BACKGROUND, INCIDENT, after), NOW)
    story = [a for a in alerts if a["name"] == "spike"]
    assert len({a["alert_id"] for a in story}) == 1
    assert [a["revision"] for a in story] == list(range(1, len(story) + 1))
    assert [a["state"] for a in story] == ["firing"] * (len(story) - 1) + ["resolved"]
    assert len(story) <= 12  # severity steps and doublings, not one a minute
    assert abs(story[-1]["resolved_at"] - (NIGHT + 2 * HOUR)) <= 40 * MINUTE
    assert "back to normal" in story[-1]["title"]


def test_ten_times_the_requests_are_called_requests() -> None:
    rush = steady(NIGHT, NIGHT + HOUR, 1390, 200, 500)
    alert = opened(AnomalyEngine().update(in_time(BACKGROUND, rush), NOW), "spike")[0]
    assert "requests on claude-sonnet-4.6 went from" in alert["title"]


def test_a_price_that_rises_by_a_half_is_found_at_unchanged_volume() -> None:
    dearer = steady(NIGHT, NIGHT + HOUR, 139, 200, 500).with_columns(pl.col("cost_pico_usd") * 3 // 2)
    alert = opened(AnomalyEngine().update(in_time(BACKGROUND, dearer), NOW), "spike")[0]
    assert alert["updated_at"] - NIGHT <= 30 * MINUTE
    assert "for like tokens" in alert["title"]


def test_a_jump_too_small_to_matter_stays_silent() -> None:
    calm = steady(START, NIGHT, 1, 200, 5)
    jump = steady(NIGHT, NIGHT + HOUR, 10, 200, 5)
    assert AnomalyEngine().update(in_time(calm, jump), NOW) == []


def test_a_series_without_history_is_warming_up_not_abnormal() -> None:
    alerts = AnomalyEngine().update(steady(START, START + 20 * HOUR, 500, 2_000, 1_000), NOW)
    assert alerts == []


def test_a_new_level_that_lasts_a_day_becomes_normal() -> None:
    shifted = steady(NIGHT, NIGHT + 3 * DAY, 1390, 200, 500)
    alerts = [a for a in AnomalyEngine().update(in_time(BACKGROUND, shifted), NOW) if a["name"] == "spike"]
    assert alerts[-1]["state"] == "resolved"
    assert len({a["alert_id"] for a in alerts}) == 1
    assert "the new normal" in alerts[-1]["title"]


def test_bursty_days_and_nights_raise_next_to_no_alarm() -> None:
    """Three weeks of twenty series at minute grain: at most 0.05 alarms per series and day, of every detector."""
    alerts = AnomalyEngine().update(ordinary_world(seed=11, days=21, series=20), NOW)
    for detector in ("spike", "hour_3x"):
        assert len(opened(alerts, detector)) / (20 * 21) <= 0.05
    assert {a["name"] for a in alerts} <= {"spike", "hour_3x"}


def test_severity_follows_the_money() -> None:
    dear = in_time(BACKGROUND, steady(NIGHT, NIGHT + 30 * MINUTE, 139, 200, 15_000))
    first = opened(AnomalyEngine().update(dear, NOW), "spike")[0]
    assert first["per_hour_pico_usd"] >= 1_000 * USD
    assert first["severity"] == "critical"


def test_the_overflow_bucket_is_explicit() -> None:
    from spendstream.domain.anomalies import Caps

    engine = AnomalyEngine(caps=Caps(series=1))
    quiet = steady(START, NIGHT, 139, 200, 500, service="aaa")
    engine.update(in_time(quiet, BACKGROUND), NOW)
    alerts = engine.update(in_time(steady(NIGHT, NIGHT + HOUR, 139, 200, 500, service="aaa"), INCIDENT), NOW)
    assert opened(alerts, "spike")[0]["scope"]["service"] == "(other)"


def test_an_empty_update_is_no_news() -> None:
    assert AnomalyEngine().update(deltas([]), NOW) == []


def test_organisations_never_see_each_other() -> None:
    other = INCIDENT.with_columns(pl.lit("elsewhere").alias("org"))
    assert AnomalyEngine().update(in_time(BACKGROUND, other), NOW) == []


def test_minute_by_minute_finds_what_a_replay_at_once_finds() -> None:
    engine, replay = AnomalyEngine(), AnomalyEngine()
    engine.update(BACKGROUND, NOW)
    live = [(a["alert_id"], a["revision"]) for a in minute_by_minute(engine, INCIDENT)]
    replayed = [(a["alert_id"], a["revision"]) for a in replay.update(in_time(BACKGROUND, INCIDENT), NOW)]
    assert live == replayed
    assert live
