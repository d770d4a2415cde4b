"""A database that agrees passes every check; one pico-dollar, row or letter off fails the check that says so."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from loadgen.pricing import BUCKETS
from loadgen.produce import Position, ProduceFailed
from loadgen.truth import TruthFile
from loadgen.verdict import Found, Range, compare, ledger_behind

TOKENS = {f"{bucket}_tokens": 7 for bucket in BUCKETS}
DAY = "2026-03-02"


def truth(unaccounted=0):
    return TruthFile(
        "r", "r-", sent_events=10, distinct_events=7, duplicates=2, conflicts=1,
        statuses={"priced": 5, "partial": 1, "unpriced": 1},
        rejected_by_reason={"conflict": 1},
        rejected=[{"reason": "conflict", "form": "conflict", "event_id": "", "partition": 0, "offset": 14, "item": 3}],
        cost_pico_usd=30,
        cost_pico_usd_by_team={"a": 10, "b": 20},
        cost_pico_usd_by_model={"p/m": 30},
        cost_pico_usd_by_day={DAY: 30},
        cost_pico_usd_by_team_model_day={"a": {"p/m": {DAY: 10}}, "b": {"p/m": {DAY: 20}}},
        tokens=TOKENS,
        positions={"0": {"first": 10, "last": 19, "records": 10, "unaccounted": unaccounted}},
    )  # fmt: skip


def ranges(duplicate=2):
    before = Range("i", 0, 0, 9, 3, {"priced": 3})
    outcomes = {"priced": 5, "partial": 1, "unpriced": 1, "duplicate": duplicate, "rejected": 1}
    return [before, Range("i", 0, 10, 19, 8 + duplicate, outcomes)]


def found():
    return Found(
        rows=7, distinct=7, incarnations=1,
        statuses={"priced": 5, "partial": 1, "unpriced": 1},
        tokens=TOKENS,
        cost_by_team_model_day={("a", "p/m", DAY): 10, ("b", "p/m", DAY): 20},
        dead_letters=[(0, 14, 3, "conflict")],
        ranges=ranges(),
        facts={("a", DAY): (10, 3), ("b", DAY): (20, 7)},
        roll_ups={("a", DAY): (10, 3), ("b", DAY): (20, 7)},
    )  # fmt: skip


def failing(truth_file, there):
    return [check.what for check in compare(truth_file, there) if not check.ok]


def test_a_database_that_agrees_passes():
    assert failing(truth(), found()) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda f: replace(f, rows=8), "rows in charges (no event twice)"),
        (lambda f: replace(f, distinct=6), "distinct events"),
        (lambda f: replace(f, incarnations=2), "incarnations of the topic"),
        (lambda f: replace(f, statuses={"priced": 6, "unpriced": 1}), "events partial"),
        (lambda f: replace(f, tokens={**TOKENS, "input_image_tokens": 8}), "input_image_tokens"),
        (lambda f: replace(f, cost_by_team_model_day={("a", "p/m", DAY): 11, ("b", "p/m", DAY): 19}), "cost by team"),
        (lambda f: replace(f, cost_by_team_model_day={("a", "p/m", DAY): 10}), "cost, pico-dollars"),
        (lambda f: replace(f, dead_letters=[(0, 15, 3, "conflict")]), "dead letters at the offsets sent"),
        (lambda f: replace(f, dead_letters=[*f.dead_letters, (0, 15, -1, "clock")]), "dead letters: clock"),
        (lambda f: replace(f, ranges=ranges(duplicate=3)), "ledger: duplicate"),
        (lambda f: replace(f, ranges=f.ranges[1:] * 2), "ranges overlap or leave gaps"),
        (lambda f: replace(f, ranges=[replace(f.ranges[0], events=4), *f.ranges[1:]]), "conservation, whole topic"),
        (lambda f: replace(f, roll_ups={("a", DAY): (10, 3)}), "roll-ups = charges, cost by team and day"),
    ],
)  # fmt: skip
def test_a_difference_fails_the_check_that_names_it(change: Callable[[Found], Found], what: str):
    assert what in failing(truth(), change(found()))


def test_retries_of_the_producer_may_add_duplicates_but_never_lose_any():
    more, fewer = replace(found(), ranges=ranges(duplicate=4)), replace(found(), ranges=ranges(duplicate=1))
    assert failing(truth(unaccounted=2), more) == []
    assert "ledger: duplicate" in failing(truth(unaccounted=2), fewer)


def test_a_range_shared_with_another_run_is_only_a_lower_bound():
    shared = Range("i", 0, 0, 19, 13, {"priced": 8, "partial": 1, "unpriced": 1, "duplicate": 2, "rejected": 1})
    assert failing(truth(), replace(found(), ranges=[shared])) == []


def test_the_ledger_is_behind_by_the_offsets_it_has_not_passed():
    assert ledger_behind(truth(), []) == 20
    assert ledger_behind(truth(), ranges()[:1]) == 10
    assert ledger_behind(truth(), ranges()) == 0


def test_offsets_between_ours_that_are_not_ours_are_counted():
    position = Position()
    for base, count in ((5, 3), (8, 2), (12, 1)):
        position.advance(base, count)
    assert (position.first, position.last, position.records, position.unaccounted) == (5, 12, 6, 2)


def test_offsets_that_go_back_mean_the_topic_was_created_anew():
    position = Position()
    position.advance(100, 10)
    with pytest.raises(ProduceFailed, match="created anew"):
        position.advance(0, 1)
