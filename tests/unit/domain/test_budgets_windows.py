from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.budgets.windows import CALENDAR_WINDOWS, HOUR, Calendar, Window, parse_duration, window_at
from tests.unit.domain.budgets_support import DAY, MINUTE, at

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Havana",
)
INSTANTS = st.integers(at("2015-01-01"), at("2035-01-01"))


@given(st.sampled_from(CALENDAR_WINDOWS), st.sampled_from(ZONES), INSTANTS)
def test_windows_hold_their_instants_and_leave_neither_gap_nor_overlap(kind: str, zone: str, instant: int) -> None:
    window, info = Window(kind), ZoneInfo(zone)
    start, end = window_at(window, info, instant)
    assert start <= instant < end
    assert window_at(window, info, start) == window_at(window, info, end - 1) == (start, end)
    assert window_at(window, info, end)[0] == end
    assert window_at(window, info, start - 1)[1] == start


@given(st.sampled_from(CALENDAR_WINDOWS), st.sampled_from(ZONES), INSTANTS)
def test_a_calendar_remembers_what_window_at_says(kind: str, zone: str, instant: int) -> None:
    assert Calendar(Window(kind), ZoneInfo(zone)).at(instant) == window_at(Window(kind), ZoneInfo(zone), instant)


def test_the_day_clocks_go_forward_has_23_hours_and_the_day_they_go_back_has_25() -> None:
    day = Window("day")
    assert window_at(day, BERLIN, at("2026-03-29 12:00")) == (at("2026-03-28 23:00"), at("2026-03-29 22:00"))
    assert window_at(day, BERLIN, at("2026-10-25 12:00")) == (at("2026-10-24 22:00"), at("2026-10-25 23:00"))


def test_the_hour_that_happens_twice_is_two_windows() -> None:
    first = window_at(Window("hour"), BERLIN, at("2026-10-25 00:30"))  # 02:30 summer time
    second = window_at(Window("hour"), BERLIN, at("2026-10-25 01:30"))  # 02:30 again
    assert first == (at("2026-10-25 00:00"), at("2026-10-25 01:00"))
    assert second == (at("2026-10-25 01:00"), at("2026-10-25 02:00"))


def test_a_month_begins_at_local_midnight() -> None:
    assert window_at(Window("month"), BERLIN, at("2026-03-31 22:30")) == (
        at("2026-03-31 22:00"),
        at("2026-04-30 22:00"),
    )


def test_a_week_begins_on_monday() -> None:
    assert window_at(Window("week"), ZoneInfo("UTC"), at("2026-03-08 23:59")) == (at("2026-03-02"), at("2026-03-09"))


def test_a_rolling_window_ends_with_the_current_quarter_hour() -> None:
    assert window_at(Window("rolling", 6), BERLIN, at("2026-03-02 14:07")) == (
        at("2026-03-02 08:15"),
        at("2026-03-02 14:15"),
    )


@pytest.mark.parametrize(("text", "span"), [("5m", 5 * MINUTE), ("1h", HOUR), ("3d", 3 * DAY)])
def test_durations_are_read(text: str, span: int) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize("text", ["", "5", "0m", "-1h", "1.5h", "1w"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
