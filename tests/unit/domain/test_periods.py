"""Periods as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.periods import Period, parse_period

NOW = datetime(2026, 11, 24, 17, 30, 5, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-Q4", "2026-10-01", "2027-01-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-11-03", "2026-11-03", "2026-11-04"),
        ("2026-11-01..2026-11-15", "2026-11-01", "2026-11-16"),
        ("2026-10..2026-11", "2026-10-01", "2026-12-01"),
        ("2026-10..2026-11-02", "2026-10-01", "2026-11-03"),
        ("2026-11-01T06:00Z..2026-11-01T20:00+02:00", "2026-11-01T06:00", "2026-11-01T18:00"),
        ("last-7d", "2026-11-18", "2026-11-25"),
        ("last-2h", "2026-11-24T16:00", "2026-11-24T18:00"),
        ("this-month", "2026-11-01", "2026-12-01"),
        ("last-month", "2026-10-01", "2026-11-01"),
    ],
)
def test_every_form(text: str, start: str, end: str) -> None:
    assert parse_period(text, NOW) == Period(at(start), at(end), text)


@pytest.mark.parametrize("text", ["", "november", "2026-13", "2026-11-31", "..", "2026-11..", "last-7w", "last-99999d"])
def test_anything_else_says_what_may_be_written(text: str) -> None:
    with pytest.raises(ValueError, match="write a year"):
        parse_period(text, NOW)


def test_a_period_must_not_end_before_it_begins() -> None:
    for text in ("2026-11..2026-10", "last-0d", "2026-11-01T06:00Z..2026-11-01T06:00Z"):
        with pytest.raises(ValueError, match="ends before"):
            parse_period(text, NOW)


def test_before_a_month_is_the_month_before_and_before_some_days_as_many() -> None:
    assert parse_period("2026-01", NOW).previous() == Period(at("2025-12-01"), at("2026-01-01"), "2025-12")
    assert parse_period("2026-Q1", NOW).previous() == Period(at("2025-10-01"), at("2026-01-01"), "2025-10..2025-12")
    assert parse_period("last-7d", NOW).previous().start == at("2026-11-11")


@given(st.integers(0, 30_000), st.integers(0, 86_399), st.integers(1, 400))
def test_the_running_day_is_in_its_last_days_and_periods_follow_each_other(day: int, second: int, days: int) -> None:
    moment = at("2000-01-02") + timedelta(days=day, seconds=second)
    period = parse_period(f"last-{days}d", moment)
    assert period.start <= moment < period.end
    assert period.end - period.start == timedelta(days=days)
    before = period.previous()
    assert before.end == period.start
    assert not before.months or before.months[0] == before.start
