"""When rows on `usage` are queryable, and what became of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from spendstream.operations.positions import Range, condition, ends, joined, place_condition
from spendstream.operations.store import Store
from spendstream.runtime.heartbeats import running
from spendstream.runtime.settings import Settings

POLL_S = 0.3
ASK_SERVICES_EVERY_S = 5.0
PATIENCE_S = 20.0  # a restarted service is back within this
RANGES_A_QUERY = 100
MINUTE_US = 60_000_000


class NotQueryableError(Exception):
    """Rows are safe on the topic, but did not become queryable in time."""


@dataclass(frozen=True)
class Awaited:
    """Rows at `ranges` that occurred from `since_us` to `until_us` (microseconds, inclusive)."""

    ranges: Sequence[Range]
    since_us: int
    until_us: int


@dataclass(frozen=True)
class Letter:
    """A row attribution has rejected."""

    org: str
    event_id: str
    reason: str
    detail: str


async def until_queryable(
    settings: Settings, store: Store, awaited: Awaited, deadline: float, tell: Callable[[str], None]
) -> None:
    """Return once charges, roll-ups and dead letters hold every row. `deadline` is monotonic seconds.

    `NotQueryableError` at the deadline, or earlier when no attribution service runs.
    """

    async def waiting() -> str | None:
        return await asyncio.to_thread(waiting_for, store, awaited)

    await until_nothing_waits(settings, waiting, deadline, tell)


async def until_nothing_is_missing(
    settings: Settings, missing: Callable[[], str | None], deadline: float, tell: Callable[[str], None]
) -> None:
    """`until_nothing_waits` for a question that is asked in a thread."""
    await until_nothing_waits(settings, lambda: asyncio.to_thread(missing), deadline, tell)


async def until_nothing_waits(
    settings: Settings, waiting: Callable[[], Awaitable[str | None]], deadline: float, tell: Callable[[str], None]
) -> None:
    """Return once attribution has left nothing to wait for; `waiting` says what is missing, in words.

    `NotQueryableError` at the deadline (monotonic seconds), or earlier when no attribution service runs.
    """
    absent_since, asked_at = None, 0.0
    while (missing := await waiting()) is not None:
        tell(missing)
        now = time.monotonic()
        if now - asked_at > ASK_SERVICES_EVERY_S:
            asked_at = now
            alive = any(name.startswith("attribution/") for name in await running(settings))
            absent_since = None if alive else (absent_since or now)
        if absent_since is not None and now - absent_since > PATIENCE_S:
            raise NotQueryableError(f"no attribution service runs, so nobody reads the rows (waiting for {missing})")
        if now > deadline:
            raise NotQueryableError(f"still waiting for {missing}")
        await asyncio.sleep(POLL_S)


def waiting_for(store: Store, awaited: Awaited) -> str | None:
    """What is still missing, in words; None when nothing is."""
    if behind := records_behind(store, awaited.ranges):
        return f"{behind} records to be attributed"
    if missing := _letters_missing(store, awaited.ranges):
        return f"{missing} rejected records to be filed"
    if missing := _rolled_up_missing(store, awaited):
        return f"{missing} records to be summed up"
    return None


def records_behind(store: Store, ranges: Sequence[Range]) -> int:
    """Offsets at or below the ends of the ranges that the ledger has not passed."""
    have = {(i, p): last for i, p, last in store.rows(
        "select incarnation, partition, max(last) from ledger_ranges group by incarnation, partition"
    )}  # fmt: skip
    first = {place: min(r.first for r in ranges if r[:2] == place) for place in ends(ranges)}
    return sum(max(0, last - max(have.get(place, -1), first[place] - 1)) for place, last in ends(ranges).items())


def _letters_missing(store: Store, ranges: Sequence[Range]) -> int:
    """Rejected records of the planned ranges that ours touch, less their dead letters."""
    missing = 0
    for place, last in ends(ranges).items():
        first = min(each.first for each in ranges if each[:2] == place)
        where = place_condition(place)
        [(rejected, low, high)] = store.rows(
            "select sum(rejected), min(first), max(last) from ledger_ranges final"
            f" where {where} and last >= {first} and first <= {last}"
        )
        if rejected:
            [(letters,)] = store.rows(
                f"select count() from dead_letters final where topic = 'usage' and {where}"
                f" and offset between {low} and {high}"
            )
            missing += max(0, rejected - letters)
    return missing


def _rolled_up_missing(store: Store, awaited: Awaited) -> int:
    """Charges up to our last offsets, in our minutes, that the roll-ups do not count yet.

    Roll-ups of one organisation and partition arrive in the order of the log, so having as many events as there are
    charges up to an offset means having everything up to it.
    """
    low, high = awaited.since_us // MINUTE_US * 60, awaited.until_us // MINUTE_US * 60
    missing = 0
    for place, last in ends(awaited.ranges).items():
        counted = store.rows(
            f"select org, count() from charges where {place_condition(place)} and offset <= {last}"
            f" and ts >= toDateTime({low}, 'UTC') and ts < toDateTime({high + 60}, 'UTC') group by org"
        )
        rolled = store.rows(
            f"select org, sum(events) from cost_by_minute final where incarnation = '{place.incarnation}'"
            f" and source_partition = {place.partition} and minute between toDateTime({low}, 'UTC')"
            f" and toDateTime({high}, 'UTC') group by org"
        )
        events = {org: int(sum_of_events) for org, sum_of_events in rolled}
        missing += sum(max(0, count - events.get(org, 0)) for org, count in counted)
    return missing


def statuses(store: Store, ranges: Sequence[Range]) -> dict[str, int]:
    """Charges at the ranges: how many priced, partial and unpriced."""
    found: dict[str, int] = {}
    for where in _conditions(ranges):
        for status, count in store.rows(f"select status, count() from v_charges where {where} group by status"):
            found[status] = found.get(status, 0) + count
    return found


def letters(store: Store, ranges: Sequence[Range]) -> list[Letter]:
    """Rows at the ranges that were rejected."""
    return [
        Letter(*row)
        for where in _conditions(ranges)
        for row in store.rows(
            "select org, event_id, reason, detail from dead_letters final"
            f" where topic = 'usage' and {where} order by partition, offset, item"
        )
    ]


def _conditions(ranges: Sequence[Range]) -> Iterator[str]:
    tidy = joined(ranges)
    for start in range(0, len(tidy), RANGES_A_QUERY):
        yield condition(tidy[start : start + RANGES_A_QUERY])
