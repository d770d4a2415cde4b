"""Which plans of the log are valid: each range follows its predecessor, and the first of two rivals wins."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.runtime.kafka.plan_log import PlanHistory, UsagePartition, plan_record
from spendstream.schemas import decode, encode

Record = Mapping[str, Any]


def genesis(incarnation: str = "i", first: int = 0) -> Record:
    return plan_record("genesis", incarnation, first, first - 1)


def planned(first: int, last: int, incarnation: str = "i", **fields: Any) -> Record:
    return plan_record("range", incarnation, first, last, **fields)


def history(*records: Record, start: int = 0) -> PlanHistory:
    found = PlanHistory()
    for at, record in enumerate(records, start):
        found.add(at, record)
    return found


def ranges(found: PlanHistory) -> list[tuple[int, int]]:
    return [(plan.first, plan.last) for plan in found.plans]


def test_an_empty_log_has_no_incarnation() -> None:
    assert (history().incarnation, history().next_first, history().end) == ("", 0, 0)


def test_a_genesis_says_where_planning_begins() -> None:
    found = history(genesis(first=500))
    assert (found.incarnation, found.next_first, found.plans, found.end) == ("i", 500, [], 1)


def test_ranges_follow_each_other() -> None:
    found = history(genesis(), planned(0, 9), planned(10, 10), planned(11, 40))
    assert ranges(found) == [(0, 9), (10, 10), (11, 40)]
    assert [plan.at for plan in found.plans] == [1, 2, 3]
    assert (found.next_first, found.end) == (41, 4)


@pytest.mark.parametrize("void", [planned(0, 14), planned(5, 9), planned(12, 20), planned(10, 20, "other")])
def test_a_range_that_does_not_follow_is_void_and_changes_nothing(void: Record) -> None:
    found = history(genesis(), planned(0, 9), void, planned(10, 19))
    assert ranges(found) == [(0, 9), (10, 19)]
    assert found.end == 4


def test_of_two_that_plan_the_same_offsets_the_first_wins() -> None:
    found = history(genesis(), planned(0, 9, events=1), planned(0, 14, events=2), planned(10, 19))
    assert [plan.record["events"] for plan in found.plans] == [1, 0]


def test_a_new_incarnation_forgets_the_plans_of_the_old_one() -> None:
    found = history(genesis(), planned(0, 9), genesis("j"), planned(10, 19), planned(0, 4, "j"))
    assert (found.incarnation, ranges(found)) == ("j", [(0, 4)])


def test_a_second_genesis_of_the_incarnation_in_force_changes_nothing() -> None:
    # Two workers open an empty log at once, or a producer retries: what was planned in between stands, or every
    # event of it is charged again.
    found = history(genesis(), planned(0, 9), genesis(), planned(10, 19))
    assert ranges(found) == [(0, 9), (10, 19)]


def test_a_log_whose_genesis_is_gone_is_believed_from_its_oldest_plan_on() -> None:
    found = history(planned(100, 149), planned(150, 159), start=70)
    assert (found.incarnation, ranges(found), found.end) == ("i", [(100, 149), (150, 159)], 72)


def test_a_void_plan_at_the_start_of_a_shortened_log_does_not_void_all_that_follow() -> None:
    # Retention has left the loser of a race as the oldest record: (0, 9) won, and is gone.
    found = history(planned(0, 14), planned(10, 19), planned(20, 29), start=70)
    assert ranges(found)[-1] == (20, 29) and found.next_first == 30


def test_the_loser_of_a_race_behind_the_oldest_plan_stays_void() -> None:
    found = history(planned(10, 19), planned(10, 24), planned(20, 29), start=70)
    assert ranges(found) == [(10, 19), (20, 29)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.booleans()), max_size=30))
def test_whatever_rivals_append_valid_plans_cover_the_log_without_gap_or_overlap(
    attempts: list[tuple[int, int, bool]],
) -> None:
    # Each attempt plans from where its writer believes the log to stand: now, or some plans ago.
    found, at = history(genesis()), 1
    for behind, size, twice in attempts:
        starts = [0, *(plan.last + 1 for plan in found.plans)]
        first = starts[max(0, len(starts) - 1 - behind)]
        for _ in range(1 + twice):
            found.add(at, planned(first, first + size - 1))
            at += 1
    edges = [0, *(plan.last + 1 for plan in found.plans)]
    assert [plan.first for plan in found.plans] == edges[:-1]
    assert (found.next_first, found.end) == (edges[-1], at)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(0, 19))
def test_reading_from_any_valid_plan_on_gives_the_same_end(sizes: list[int], start: int) -> None:
    log, first = [genesis()], 0
    for size in sizes:
        log += [planned(first, first + size - 1), planned(first, first + size + 3)]
        first += size
    whole = history(*log)
    plan = whole.plans[min(start, len(whole.plans) - 1)]
    part = history(*log[plan.at :], start=plan.at)
    assert (part.incarnation, part.next_first, part.end) == (whole.incarnation, whole.next_first, whole.end)
    assert ranges(part) == ranges(whole)[whole.plans.index(plan) :]


def test_a_usage_topic_is_told_apart_by_its_id() -> None:
    found = history(genesis("a" * 12), planned(0, 9, "a" * 12))
    assert not UsagePartition("a" * 12, 0, 3, 0).is_other_than(found)
    assert UsagePartition("b" * 12, 0, 100, 0).is_other_than(found)


def test_without_an_id_a_topic_that_is_shorter_than_what_was_planned_is_another_one() -> None:
    found = history(genesis(), planned(0, 9))
    assert not UsagePartition(None, 0, 10, 0).is_other_than(found)
    assert UsagePartition(None, 0, 9, 0).is_other_than(found)


def test_a_plan_survives_the_wire() -> None:
    record = planned(3, 9, duplicates=b"\x01\x80\x02", watermark=5, events=7)
    assert decode(encode("AttributionPlan", dict(record)))[1] == {**record}
