"""Cumulative rows are a function of a prefix of the log: not of batches, restarts or merges."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain import rollups
from spendstream.domain.rollups import COST, MINUTE_US, SUMS, Rollups, SumOverflowError, lateness
from tests.unit.domain.rollups_support import (
    ALLOWED_US,
    SMALL_BLOCK,
    Event,
    Partition,
    Row,
    cut,
    histories,
    identity,
    places,
    table,
)


@pytest.fixture(autouse=True, scope="module")
def small_late_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollups, "LATE_BLOCK", SMALL_BLOCK)
        yield


def published(events: list[Event], cuts: list[int], restarts: Sequence[int] = ()) -> dict[tuple[object, ...], Row]:
    """Last value of every row, as a table that keeps the newest version has it."""
    partition, rows = Partition(), dict[tuple[object, ...], Row]()
    for number, batch in enumerate(cut(events, cuts)):
        if number in restarts:
            partition = partition.restarted()
        for row in partition.batch(batch):
            known = rows.get(identity(row))
            assert known is None or known["last_offset"] < row["last_offset"]
            rows[identity(row)] = row
    return rows


def values(rows: dict[tuple[object, ...], Row]) -> dict[tuple[object, ...], tuple[int, ...]]:
    return {key: tuple(row[name] for name in SUMS) for key, row in rows.items()}


@settings(deadline=None, max_examples=40)
@given(histories(), places, places)
def test_rows_do_not_depend_on_how_the_log_is_cut(events: list[Event], one: list[int], other: list[int]) -> None:
    assert values(published(events, one)) == values(published(events, other))


@settings(deadline=None, max_examples=40)
@given(histories(), places, places)
def test_rows_survive_a_restart_at_any_point(events: list[Event], cuts: list[int], restarts: list[int]) -> None:
    assert published(events, cuts, restarts) == published(events, cuts)


@settings(deadline=None, max_examples=40)
@given(histories(), places, st.integers(0, 60))
def test_rows_behind_a_prefix_are_those_of_that_prefix_alone(events: list[Event], cuts: list[int], end: int) -> None:
    (prefix, *_), whole = cut(events, [end]), Partition()
    newest = dict[tuple[object, ...], Row]()
    for batch in cut(events, [*cuts, len(prefix)]):
        if batch[-1].offset > prefix[-1].offset:
            break
        newest |= {identity(row): row for row in whole.batch(batch)}
    assert values(newest) == values(published(prefix, []))


@settings(deadline=None, max_examples=40)
@given(histories(), places)
def test_sums_over_all_rows_are_the_sums_over_all_events(events: list[Event], cuts: list[int]) -> None:
    wanted, found = Counter[tuple[str, str, int]](), Counter[tuple[str, str, int]]()
    for event in events:
        minute = event.occurred_at // MINUTE_US * MINUTE_US
        wanted["owner", event.team, minute] += event.cost
        if event.user_id:
            wanted["caller", event.team, minute] += event.cost
    for row in published(events, cuts).values():
        found[row["grain"], row["team"], row["minute"]] += row["cost_pico_usd"]
    assert +found == +wanted


@settings(deadline=None, max_examples=40)
@given(histories(), places)
def test_open_rows_can_be_rebuilt_from_the_oldest_epoch(events: list[Event], cuts: list[int]) -> None:
    whole, done = Partition(), list[tuple[int, list[Event]]]()
    for batch in cut(events, cuts):
        before = whole.watermark
        whole.batch(batch)
        done.append((before, batch))
    oldest = min((e for grain in whole.grains if (e := grain.oldest_epoch) is not None), default=None)
    if oldest is None:
        return
    again = Partition()
    for number, (watermark, batch) in enumerate(entry for entry in done if entry[1][-1].offset >= oldest):
        again.watermark = watermark if number == 0 else again.watermark
        again.batch(batch)
    for fresh, grain in zip(again.grains, whole.grains, strict=True):
        assert sorted(fresh.snapshot().rows()) == sorted(grain.snapshot().rows())


@given(st.lists(st.integers(0, 10**12), max_size=40), st.integers(0, 40), st.integers(0, 10**12))
def test_lateness_does_not_depend_on_how_the_log_is_cut(occurred: list[int], at: int, watermark: int) -> None:
    log = np.array(occurred, dtype=np.int64)
    late, reached = lateness(log, watermark, ALLOWED_US)
    first, between = lateness(log[:at], watermark, ALLOWED_US)
    second, behind = lateness(log[at:], between, ALLOWED_US)
    assert [*first, *second] == late.tolist()
    assert behind == reached == max([watermark, *occurred])


def test_a_minute_is_open_until_the_watermark_has_passed_its_end() -> None:
    watermark = 10 * MINUTE_US + ALLOWED_US
    occurred = np.array([9 * MINUTE_US, 10 * MINUTE_US - 1, 10 * MINUTE_US, 0], dtype=np.int64)
    assert lateness(occurred, watermark, ALLOWED_US)[0].tolist() == [True, True, False, True]
    assert lateness(occurred, watermark - 1, ALLOWED_US)[0].tolist() == [False, False, False, True]


def test_a_late_record_opens_a_row_of_its_own_named_by_its_own_offset() -> None:
    partition = Partition()
    partition.batch([Event(0, 0, "a", 5)])
    partition.batch([Event(1, 60 * MINUTE_US, "a", 1)])
    late = partition.batch([Event(2, 0, "a", 7)])
    again = partition.batch([Event(3, 0, "a", 2)])
    other_block = partition.batch([Event(SMALL_BLOCK, 0, "a", 1)])
    found = [(row["epoch"], row["late"], row["cost_pico_usd"]) for row in (*late, *again, *other_block)]
    assert found == [(2, True, 7), (2, True, 9), (SMALL_BLOCK, True, 1)]


def test_members_of_one_record_may_be_on_time_and_late_at_once() -> None:
    rows = Partition().batch([Event(4, 0, "a", 1), Event(4, 60 * MINUTE_US, "a", 2), Event(4, 0, "a", 4)])
    assert sorted((row["late"], row["cost_pico_usd"]) for row in rows if row["minute"] == 0) == [(False, 1), (True, 4)]
    assert len({identity(row) for row in rows}) == 3


def test_rows_leave_memory_once_nothing_can_come_for_them() -> None:
    partition = Partition()
    partition.batch([Event(i, i * 10 * MINUTE_US, "a", 1) for i in range(SMALL_BLOCK)])
    assert len(partition.grains[0]) == 1
    partition.batch([Event(SMALL_BLOCK, 0, "a", 1)])
    assert len(partition.grains[0]) == 2
    partition.batch([Event(2 * SMALL_BLOCK, 1_000 * MINUTE_US, "a", 1)])
    assert len(partition.grains[0]) == 1


def test_an_empty_set_of_rows_survives_a_snapshot() -> None:
    fresh = Rollups("caller")
    fresh.restore(Rollups("caller").snapshot())
    assert len(fresh) == 0 and fresh.oldest_epoch is None


def test_a_sum_beyond_64_bits_is_refused_and_never_wraps() -> None:
    owner = Rollups("owner")
    half = table([Event(0, 0, "a", 2**62)], [False])
    before = owner.add(half)
    with pytest.raises(SumOverflowError) as refused:
        owner.add(table([Event(1, 0, "a", 2**62), Event(2, 0, "b", 1)], [False] * 2))
    assert refused.value.events.tolist() == [True, False]  # b's row has room
    assert owner.add(table([Event(1, 0, "a", 1)], [False])).values[0, COST] == before.values[0, COST] + 1


def test_a_batch_whose_own_sum_is_beyond_64_bits_is_refused_as_well() -> None:
    owner = Rollups("owner")
    with pytest.raises(SumOverflowError) as refused:
        owner.add(table([Event(i, 0, "a", 2**62) for i in range(3)], [False] * 3))
    assert refused.value.events.tolist() == [False, True, True] and len(owner) == 0


def test_only_the_dearest_events_of_a_row_give_way() -> None:
    events = table([Event(i, 0, "a", cost) for i, cost in enumerate((5, 2**62, 7, 2**62, 2**61, 9))], [False] * 6)
    with pytest.raises(SumOverflowError) as refused:
        Rollups("owner").add(events)
    assert refused.value.events.tolist() == [False, False, False, True, False, False]


def test_a_batch_without_events_touches_nothing() -> None:
    touched = Rollups("owner").add(table([], []))
    assert touched.hashes == [] and touched.oldest_epoch is None


def test_a_row_has_the_same_message_key_in_every_minute_and_after_a_restart() -> None:
    owner = Rollups("owner")
    first = owner.add(table([Event(1, 0, "a", 5), Event(2, 0, "b", 5)], [False] * 2))
    later = owner.add(table([Event(3, 60_000_000, "b", 5), Event(4, 0, "a", 1)], [False] * 2))
    assert first.hashes == later.hashes[::-1] and len(set(first.hashes)) == 2
    again = Rollups("owner")
    again.restore(owner.snapshot())
    assert again.add(table([Event(5, 0, "a", 1)], [False])).hashes == first.hashes[:1]
