"""Forecasts and burn rates."""

from fractions import Fraction
from typing import Any

import pytest

from spendstream.domain.budgets import BudgetEngine
from spendstream.domain.budgets.signals import burn_rate, forecast
from spendstream.schemas import encode
from tests.unit.domain.budgets_support import DAY, HOUR, MINUTE, USD, at, budget, engine, spend, states

MONTH = at("2026-06-01")  # thirty days
QUIET = [{"at": 10, "level": "notice"}]
BURN = {"page": {"rate": "14.4", "long": "1h", "short": "5m"}, "ticket": {"rate": 6, "long": "6h", "short": "30m"}}


def monthly(**spec: Any) -> BudgetEngine:
    return engine(budget(window="month", amount_usd=720, ladder=QUIET, **spec), now=MONTH)


def test_a_forecast_extends_the_pace_so_far() -> None:
    assert forecast(10 * USD, 0, 30 * DAY, 3 * DAY) == 100 * USD
    assert forecast(10 * USD, 0, 30 * DAY, 40 * DAY) == 10 * USD


def test_a_forecast_waits_for_a_twentieth_of_the_window() -> None:
    assert forecast(10 * USD, 0, 20 * HOUR, HOUR - 1) is None
    assert forecast(10 * USD, 0, 20 * HOUR, HOUR) == 200 * USD


def test_a_month_heading_over_its_share_warns_once_and_resolves_when_the_pace_slows() -> None:
    running = monthly(forecast_alert_at="0.90")
    running.update(spend(MONTH, 50), MONTH + HOUR)
    assert running.tick(MONTH + DAY).alerts == []  # too early to say
    running.update(spend(MONTH + DAY, 50), MONTH + 2 * DAY)
    (alert,) = running.tick(MONTH + 3 * DAY).alerts
    assert (alert["name"], alert["severity"], alert["level"]) == ("b/forecast", "warning", None)
    assert alert["title"] == "search is heading for $1,000.00 of $720.00 (138 %) in June 2026"
    assert (alert["expected_pico_usd"], alert["at_stake_pico_usd"]) == (1000 * USD, 280 * USD)
    encode("Alert", alert)
    assert running.tick(MONTH + 3 * DAY + MINUTE).alerts == []
    assert states(running.tick(MONTH + 6 * DAY).alerts) == [("resolved", "warning")]
    running.update(spend(MONTH + 6 * DAY, 200), MONTH + 6 * DAY)
    assert running.tick(MONTH + 6 * DAY + MINUTE).alerts == []  # once per window


def test_a_forecast_ends_with_its_window() -> None:
    running = monthly(forecast_alert_at="0.90")
    running.update(spend(MONTH, 700), MONTH + HOUR)
    assert len(running.tick(MONTH + 3 * DAY).alerts) == 1
    (ended,) = running.tick(MONTH + 30 * DAY).alerts
    assert (ended["state"], ended["resolved_at"]) == ("resolved", MONTH + 30 * DAY)


def test_an_hour_has_no_forecast_alert() -> None:
    running = engine(budget(forecast_alert_at="0.90", ladder=QUIET), now=MONTH)
    running.update(spend(MONTH, 90), MONTH + 30 * MINUTE)
    assert running.tick(MONTH + 31 * MINUTE).alerts == []


def test_burn_rate_counts_how_many_times_faster_than_evenly() -> None:
    assert burn_rate(1 * USD, HOUR, 720 * USD, 30 * DAY) == 1
    assert burn_rate(72 * USD, 5 * HOUR, 720 * USD, 30 * DAY) == Fraction(72, 5)


def burning(usd_per_minute: int, minutes: int, **spec: Any) -> tuple[BudgetEngine, int, list[dict[str, Any]]]:
    """A month budget that allows a dollar an hour, after so many minutes at this pace."""
    running, alerts, start = monthly(burn_rate=BURN, **spec), [], MONTH + 10 * DAY
    for minute in range(minutes):
        running.update(spend(start + minute * MINUTE, usd_per_minute), start + minute * MINUTE)
        alerts += running.tick(start + minute * MINUTE).alerts
    return running, start + minutes * MINUTE, alerts


def test_a_burst_pages_once_both_windows_burn_and_resolves_when_the_long_one_is_calm() -> None:
    running, now, alerts = burning(1, 20)
    # Six dollars in the last six hours reach the ticket's rate only at 36; fifteen in the last hour reach the page's.
    assert [(a["name"], a["severity"]) for a in alerts] == [("b/burn-rate", "page")]
    assert alerts[0]["started_at"] == MONTH + 10 * DAY + 14 * MINUTE
    assert alerts[0]["score"] == pytest.approx(15)
    assert (alerts[0]["observed_pico_usd"], alerts[0]["expected_pico_usd"]) == (15 * USD, USD)
    assert "15.0 times as fast" in str(alerts[0]["title"])
    encode("Alert", alerts[0])
    calm = [alert for minute in range(90) for alert in running.tick(now + minute * MINUTE).alerts]
    assert states(calm) == [("resolved", "page")]


def test_a_second_incident_is_another_alert() -> None:
    running, now, alerts = burning(1, 20)
    for minute in range(90):
        alerts += running.tick(now + minute * MINUTE).alerts
    later = now + 10 * HOUR
    running.update(spend(later, 20), later)
    alerts += running.tick(later).alerts
    assert [alert["state"] for alert in alerts] == ["firing", "resolved", "firing"]
    assert alerts[0]["alert_id"] != alerts[2]["alert_id"]


def test_a_slow_burn_is_a_ticket_that_escalates_in_place() -> None:
    running, now, alerts = monthly(burn_rate=BURN), MONTH + 10 * DAY, []
    for step in range(48):  # ten dollars an hour
        running.update(spend(now + step * 6 * MINUTE, 1), now + step * 6 * MINUTE)
        alerts += running.tick(now + step * 6 * MINUTE).alerts
    assert states(alerts) == [("firing", "warning")]
    now += 48 * 6 * MINUTE
    running.update(spend(now, 10), now)
    worse = running.tick(now).alerts
    assert states(worse) == [("firing", "page")]
    assert (worse[0]["alert_id"], worse[0]["revision"]) == (alerts[0]["alert_id"], 2)


def test_a_burn_rate_that_was_published_is_not_published_again_after_a_crash() -> None:
    _, now, alerts = burning(1, 20)
    second = BudgetEngine()
    second.recall(alerts)
    second.set_documents([budget(window="month", amount_usd=720, ladder=QUIET, burn_rate=BURN)], now)
    second.update(spend(now - MINUTE, 20), now)
    assert second.tick(now).alerts == []


def test_windows_shorter_than_a_week_have_no_burn_rate() -> None:
    running = engine(budget(window="day", ladder=QUIET, burn_rate=BURN), now=MONTH)
    running.update(spend(MONTH + HOUR, 900), MONTH + HOUR)
    assert running.tick(MONTH + HOUR).alerts == []


def test_dropping_the_burn_rate_from_the_document_resolves_its_alert() -> None:
    running, now, _ = burning(1, 20)
    changed = running.set_documents([budget(window="month", amount_usd=720, ladder=QUIET)], now)
    assert states(changed.alerts) == [("resolved", "page")]
