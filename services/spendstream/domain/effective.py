"""When a document is in force: `effective_from` (inclusive) to `effective_to` (exclusive), UTC."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

KEYS: Final = ("effective_from", "effective_to")
DAY_US: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Effective(NamedTuple):
    """Microseconds since the epoch; None: without a beginning, without an end."""

    start: int | None = None
    end: int | None = None

    def covers(self, moment: int) -> bool:
        """Whether the document is in force at `moment` (microseconds)."""
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)

    def overlaps(self, start: int, end: int) -> bool:
        """Whether it is in force at any moment from `start` (inclusive) to `end` (exclusive)."""
        return (self.start is None or self.start < end) and (self.end is None or start < self.end)


ALWAYS: Final = Effective()


class Turns:
    """The moments (`edges`, ascending) at which one of some documents begins or ends to be in force. Between two of
    them nothing changes: these stretches are numbered from 0, before the first edge. False where nothing is dated."""

    def __init__(self, effective: Iterable[Effective]) -> None:
        self.edges: Sequence[int] = sorted({edge for stretch in effective for edge in stretch if edge is not None})

    def __bool__(self) -> bool:
        return bool(self.edges)

    def stretch(self, moment: int) -> int:
        """The number of the stretch in which `moment` lies."""
        return bisect_right(self.edges, moment)

    def moment(self, stretch: int) -> int:
        """A moment of a stretch."""
        if not self.edges:
            return 0
        return self.edges[stretch - 1] if stretch else self.edges[0] - 1


def parse_effective(spec: Mapping[str, Any], whole_days: bool = False) -> tuple[Effective, list[tuple[str, str]]]:
    """What `effective_from` and `effective_to` of a spec say, both optional, or (path, what is wrong).

    `whole_days`: only midnights UTC are taken.
    """
    found: dict[str, int | None] = dict.fromkeys(KEYS)
    errors: list[tuple[str, str]] = []
    for key in KEYS:
        if spec.get(key) is None:
            continue
        try:
            found[key] = micros_from(spec[key])
        except ValueError:
            errors.append((key, f"must be a day or an RFC 3339 date-time with an offset, is {spec[key]!r}"))
            continue
        if whole_days and (found[key] or 0) % DAY_US:
            errors.append((key, f"must be a day such as 2026-11-16, or its midnight UTC, is {spec[key]!r}"))
    stretch = Effective(*found.values())
    if stretch.start is not None and stretch.end is not None and stretch.end <= stretch.start:
        errors.append(("effective_to", "must be later than effective_from; it is the first day or moment not in force"))
    return stretch, errors


def micros_from(value: object) -> int:
    """Microseconds since the epoch. A date alone is its midnight UTC; a date-time needs an offset, else ValueError."""
    if isinstance(value, str):
        value = date.fromisoformat(value) if len(value) == len("2026-01-01") else datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("no offset")
    elif isinstance(value, date):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        raise ValueError("no date")
    return (value - _EPOCH) // timedelta(microseconds=1)


def day_of(moment: int) -> date:
    """The UTC day of a moment in microseconds."""
    return (_EPOCH + timedelta(microseconds=moment)).date()
