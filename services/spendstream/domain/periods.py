"""Periods of reports as people write them, as half-open stretches of UTC time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FORMS = (
    "a year (2026), quarter (2026-Q3), month (2026-11) or day (2026-11-03), two of them with .. between"
    " (2026-11-01..2026-11-15, the last one included), two times (2026-11-01T06:00Z..2026-11-01T18:00Z, the last one"
    " not), last-7d or last-24h (the running day or hour included), this-month or last-month"
)
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` (inclusive) to `end` (exclusive); `text` is how it was asked for."""

    start: datetime
    end: datetime
    text: str

    @property
    def months(self) -> Sequence[datetime]:
        """The first moments of its months; empty when it does not consist of whole ones."""
        if not (_is_month(self.start) and _is_month(self.end)):
            return ()
        return [_shifted(self.start, i) for i in range(_months_between(self.start, self.end))]

    def previous(self) -> "Period":
        """As many months just before it where it consists of whole ones, else the same length just before it."""
        if months := self.months:
            start = _shifted(self.start, -len(months))
            return Period(start, self.start, _months_text(start, self.start))
        start = self.start - (self.end - self.start)
        return Period(start, self.start, f"{start.isoformat()}..{self.start.isoformat()}".replace("+00:00", "Z"))


def parse_period(text: str, now: datetime) -> Period:
    """The period `text` names, seen from `now` (UTC); ValueError says what may be written."""
    text = text.strip()
    try:
        start, end = _bounds(text, now)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no period; write {FORMS}") from None
    if start >= end:
        raise ValueError(f"{text!r} ends before it begins")
    return Period(start, end, text)


def _bounds(text: str, now: datetime) -> tuple[datetime, datetime]:
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if text == "this-month":
        return month, _shifted(month, 1)
    if text == "last-month":
        return _shifted(month, -1), month
    if found := re.fullmatch(r"last-(\d{1,4})([dh])", text):
        unit = _DAY if found[2] == "d" else _HOUR
        running = now.replace(minute=0, second=0, microsecond=0)
        end = (running.replace(hour=0) if found[2] == "d" else running) + unit
        return end - int(found[1]) * unit, end
    first, dots, last = text.partition("..")
    return _stretch(first)[0], _stretch(last if dots else first)[1]


def _stretch(text: str) -> tuple[datetime, datetime]:
    """The bounds of a year, quarter, month or day; a time is both its bounds."""
    if found := re.fullmatch(r"(\d{4})", text):
        start = datetime(int(found[1]), 1, 1, tzinfo=UTC)
        return start, _shifted(start, 12)
    if found := re.fullmatch(r"(\d{4})-Q([1-4])", text):
        start = datetime(int(found[1]), 3 * int(found[2]) - 2, 1, tzinfo=UTC)
        return start, _shifted(start, 3)
    if found := re.fullmatch(r"(\d{4})-(\d{2})", text):
        start = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
        return start, _shifted(start, 1)
    moment = datetime.fromisoformat(text)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment, moment + _DAY) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else (moment, moment)


def _is_month(moment: datetime) -> bool:
    return (moment.day, moment.hour, moment.minute, moment.second, moment.microsecond) == (1, 0, 0, 0, 0)


def _months_between(start: datetime, end: datetime) -> int:
    return 12 * (end.year - start.year) + end.month - start.month


def _shifted(month: datetime, months: int) -> datetime:
    years, index = divmod(month.month - 1 + months, 12)
    return month.replace(year=month.year + years, month=index + 1)


def _months_text(start: datetime, end: datetime) -> str:
    last = _shifted(end, -1)
    return f"{start:%Y-%m}" if start == last else f"{start:%Y-%m}..{last:%Y-%m}"
