"""Differences add up to the truth, whatever is repeated, interleaved, forgotten or restarted."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain import differences, rollups
from spendstream.domain.differences import Differences
from spendstream.domain.rollups import COST, MINUTE_US
from tests.unit.domain.rollups_support import (
    ALLOWED_US,
    SMALL_BLOCK,
    Event,
    Partition,
    Row,
    cut,
    histories,
    places,
)

KEEP_US = ALLOWED_US + 2 * MINUTE_US
Truth = Counter[tuple[str, str, int]]


@pytest.fixture(autouse=True, scope="module")
def small_late_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollups, "LATE_BLOCK", SMALL_BLOCK)
        patch.setattr(differences, "LATE_BLOCK", SMALL_BLOCK)
        yield


def truth(sources: Sequence[Sequence[Event]], grains: Sequence[str] = ("owner", "caller")) -> Truth:
    found = Truth()
    for events in sources:
        for event in events:
            minute = event.occurred_at // MINUTE_US * MINUTE_US
            found["owner", event.team, minute] += event.cost
            if event.user_id and "caller" in grains:
                found["caller", event.team, minute] += event.cost
    return +found


def costs(source: int, events: Sequence[Event], cuts: Sequence[int]) -> list[list[Row]]:
    """The `costs` messages of every batch of one source partition, without the empty ones."""
    partition = Partition(source)
    return [rows for batch in cut(events, cuts) if (rows := partition.batch(batch))]


def with_repetitions(batches: list[list[Row]], crashes: Sequence[tuple[int, int, int]]) -> list[Row]:
    """What the topic holds when attribution is killed at random: it goes on for some ranges, stops half-way through
    one, and at the next start carries out some earlier ranges again, in order."""
    log, at = list[Row](), 0
    for onward, rows, back in crashes:
        end = min(at + onward, len(batches) - 1)
        log += [row for batch in batches[at:end] for row in batch] + batches[end][:rows]
        at = max(0, end - back)
    return [*log, *(row for batch in batches[at:] for row in batch)]


def interleaved(logs: Sequence[list[Row]], order: Sequence[int]) -> list[Row]:
    """One log of several, order kept within each."""
    waiting = [list(log) for log in logs]
    found = list[Row]()
    for turn in order:
        if waiting[turn % len(waiting)]:
            found.append(waiting[turn % len(waiting)].pop(0))
    return [*found, *(row for log in waiting for row in log)]


def consume(log: Sequence[Row], cuts: Sequence[int], restarts: Sequence[tuple[int, int]] = ()) -> Truth:
    """Sum of all differences; `restarts`: behind chunk i a snapshot is taken, and j chunks later it is gone back to."""
    chunks = [
        list(log[start:end]) for start, end in pairwise(sorted({0, len(log), *(at for at in cuts if at < len(log))}))
    ]
    differences, sums = Differences(KEEP_US), Truth()

    def feed(part: list[Row]) -> None:
        for row, difference in differences.apply(part):
            sums[row["grain"], row["team"], row["minute"]] += difference[COST]

    at = 0
    for taken, later in sorted(restarts):
        while at < min(taken, len(chunks)):
            feed(chunks[at])
            at += 1
        saved, kept = json.dumps(differences.snapshot()), Counter(sums)
        for chunk in chunks[at : at + later]:
            feed(chunk)
        differences, sums = Differences(KEEP_US), kept
        differences.restore(json.loads(saved))
    for chunk in chunks[at:]:
        feed(chunk)
    return +sums


@settings(deadline=None, max_examples=40)
@given(histories(), places, places)
def test_differences_add_up_to_the_events(events: list[Event], batches: list[int], chunks: list[int]) -> None:
    log = [row for batch in costs(0, events, batches) for row in batch if row["grain"] == "owner"]
    assert consume(log, chunks) == truth([events], ["owner"])


@settings(deadline=None, max_examples=40)
@given(histories(), places, places)
def test_both_grains_add_up_wherever_a_fetch_ends(events: list[Event], batches: list[int], chunks: list[int]) -> None:
    log = [row for batch in costs(0, events, batches) for row in batch]
    assert consume(log, chunks) == truth([events])


def test_a_fetch_that_ends_between_the_grains_of_a_batch_loses_nothing() -> None:
    # One batch of a backfill spans hours. Its owner rows come first, then its caller rows, and the fetch ends between.
    events = [Event(0, 0, "a", 5, "u"), Event(1, 300 * MINUTE_US, "a", 1, "u")]
    log = Partition().batch(events)
    assert [row["grain"] for row in log] == ["owner", "owner", "caller", "caller"]
    assert consume(log, [2]) == truth([events])


crashes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 4)), max_size=4)


@settings(deadline=None, max_examples=40)
@given(histories(), places, places, crashes)
def test_repeated_and_replayed_messages_change_nothing(
    events: list[Event], batches: list[int], chunks: list[int], stops: list[tuple[int, int, int]]
) -> None:
    published = [[row for row in batch if row["grain"] == "owner"] for batch in costs(0, events, batches)]
    log = with_repetitions(published, stops)
    assert consume(log, chunks) == truth([events], ["owner"])


@settings(deadline=None, max_examples=40)
@given(histories(30), histories(30), places, places, st.lists(st.integers(0, 1), max_size=60))
def test_sources_may_come_in_any_order_relative_to_each_other(
    one: list[Event], other: list[Event], batches: list[int], chunks: list[int], order: list[int]
) -> None:
    logs = [
        [row for batch in costs(source, events, batches) for row in batch if row["grain"] == "owner"]
        for source, events in enumerate((one, other))
    ]
    assert consume(interleaved(logs, order), chunks) == truth([one, other], ["owner"])


restarts = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=3)


@settings(deadline=None, max_examples=40)
@given(histories(), places, places, restarts)
def test_a_restart_from_a_snapshot_changes_nothing(
    events: list[Event], batches: list[int], chunks: list[int], points: list[tuple[int, int]]
) -> None:
    log = [row for batch in costs(0, events, batches) for row in batch if row["grain"] == "owner"]
    assert consume(log, chunks, points) == truth([events], ["owner"])


@settings(deadline=None, max_examples=40)
@given(histories(), places)
def test_the_whole_log_read_again_says_nothing_new(events: list[Event], batches: list[int]) -> None:
    log = [row for batch in costs(0, events, batches) for row in batch if row["grain"] == "owner"]
    differences = Differences(KEEP_US)
    differences.apply(log)
    assert differences.apply(log) == []


@settings(deadline=None, max_examples=40)
@given(histories(), places)
def test_what_a_late_twin_of_the_writer_sends_is_ignored(events: list[Event], batches: list[int]) -> None:
    log = [row for batch in costs(0, events, batches) for row in batch if row["grain"] == "owner"]
    differences = Differences(KEEP_US)
    for row in log:
        differences.apply([row])
    for row in log:
        assert differences.apply([row]) == []


def test_rows_are_forgotten_behind_the_horizon() -> None:
    events = [Event(i, i * MINUTE_US, "a", 1) for i in range(500)]
    log = [row for batch in costs(0, events, range(0, 500, 5)) for row in batch]
    differences = Differences(KEEP_US)
    for row in log:
        differences.apply([row])
    assert len(differences) <= 3 * KEEP_US // MINUTE_US


def test_a_new_incarnation_of_the_topic_starts_over() -> None:
    differences, row = Differences(KEEP_US), Partition().batch([Event(0, 0, "a", 5)])[0]
    assert [change[1][COST] for change in differences.apply([row])] == [5]
    assert [change[1][COST] for change in differences.apply([{**row, "incarnation": "j"}])] == [5]


def test_an_older_version_of_a_row_is_ignored() -> None:
    partition = Partition()
    old, new = (partition.batch([Event(offset, 0, "a", 5)])[0] for offset in (0, 1))
    differences = Differences(KEEP_US)
    assert [change[1][COST] for change in differences.apply([new, old, new])] == [10]
