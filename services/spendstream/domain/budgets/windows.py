"""Budget windows: calendar periods in an IANA time zone, daylight saving included, and rolling hours.

Instants are integer microseconds since the epoch, UTC. The windows of one calendar never overlap and leave no gap.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

MINUTE: Final = 60 * 1_000_000
QUARTER_HOUR: Final = 15 * MINUTE
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

CALENDAR_WINDOWS: Final = ("hour", "day", "week", "month")
MAX_ROLLING_HOURS: Final = 31 * 24

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNIT: Final = {"m": MINUTE, "h": HOUR, "d": DAY}


@dataclass(frozen=True, slots=True)
class Window:
    """`kind`: request, hour, day, week, month or rolling; `rolling_hours` is 0 but for rolling."""

    kind: str
    rolling_hours: int = 0

    @property
    def is_calendar(self) -> bool:
        return self.kind in CALENDAR_WINDOWS

    @property
    def is_rolling(self) -> bool:
        return self.kind == "rolling"


def parse_duration(text: str) -> int:
    """`5m`, `1h`, `3d` in microseconds; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 5m, 1h or 3d")
    return int(match[1]) * _UNIT[match[2]]


def window_at(window: Window, zone: ZoneInfo, instant: int) -> tuple[int, int]:
    """Start (inclusive) and end (exclusive) of the window that holds `instant`.

    Days begin at the first instant of the local date and weeks on Monday; hours count from the start of the day, so
    the last one is short where a zone shifts by less than an hour. A rolling window ends with the quarter-hour that
    holds `instant`. ValueError for `request`, which has no window.
    """
    if window.is_rolling:
        end = instant // QUARTER_HOUR * QUARTER_HOUR + QUARTER_HOUR
        return end - window.rolling_hours * HOUR, end
    today = local_time(instant, zone).date()
    if window.kind == "hour":
        return _hour_at(today, zone, instant)
    first, following = _period(window.kind, today)
    return _midnight(first, zone), _midnight(following, zone)


def local_time(instant: int, zone: ZoneInfo) -> datetime:
    """`instant` as wall-clock time in `zone`."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(zone)


def _hour_at(today: date, zone: ZoneInfo, instant: int) -> tuple[int, int]:
    midnight, next_midnight = _midnight(today, zone), _midnight(today + timedelta(days=1), zone)
    start = instant - (instant - midnight) % HOUR
    return start, min(start + HOUR, next_midnight)


def _period(kind: str, today: date) -> tuple[date, date]:
    if kind == "day":
        return today, today + timedelta(days=1)
    if kind == "week":
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(days=7)
    if kind == "month":
        first = today.replace(day=1)
        return first, (first + timedelta(days=31)).replace(day=1)
    raise ValueError(f"a {kind} budget has no window")


def _midnight(day: date, zone: ZoneInfo) -> int:
    # Where clocks jump over midnight, fold=0 reads it with the old offset: exactly the instant of the jump.
    return micros(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))


def micros(moment: datetime) -> int:
    """An aware datetime as microseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


@dataclass(slots=True)
class Calendar:
    """`window_at` remembered per quarter-hour: offsets and shifts of today's zones are multiples of fifteen minutes."""

    window: Window
    zone: ZoneInfo
    _known: dict[int, tuple[int, int]] = field(default_factory=dict)

    def at(self, instant: int) -> tuple[int, int]:
        quarter = instant // QUARTER_HOUR
        found = self._known.get(quarter)
        if found is None:
            if len(self._known) > 10_000:
                self._known.clear()
            found = self._known[quarter] = window_at(self.window, self.zone, quarter * QUARTER_HOUR)
        return found
