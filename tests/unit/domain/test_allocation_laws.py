"""What holds for every allocation, whatever the costs and the rules are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain.allocation import (
    Placement,
    Rule,
    SourceRow,
    allocate,
    as_shown,
    difference,
    digest,
    moves,
)
from spendstream.domain.allocation.sharing import spread
from spendstream.domain.money import split
from tests.support.allocation import RULES, rows

MONTHS = st.lists(rows(), max_size=12)
KINDS = ("direct", "allocated", "idle", "unallocated")


def by_source(amounts: Mapping[Placement, int]) -> Mapping[tuple[str, str], int]:
    """Pico-dollars by source and category, of the four kinds and no other."""
    found: Counter[tuple[str, str]] = Counter()
    for placement, pico in amounts.items():
        assert placement.kind in KINDS
        found[placement.origin.source, placement.origin.category] += pico
    return {key: pico for key, pico in found.items() if pico}


def said(month: Sequence[SourceRow]) -> Mapping[tuple[str, str], int]:
    found: Counter[tuple[str, str]] = Counter()
    for row in month:
        found[row.dimensions["source"], row.dimensions["category"]] += row.cost_pico_usd
    return {key: pico for key, pico in found.items() if pico}


@settings(deadline=None, max_examples=300)
@given(MONTHS, RULES)
def test_allocated_direct_idle_and_unallocated_add_up_to_each_source_and_category(
    month: list[SourceRow], rules: list[Rule]
) -> None:
    assert by_source(allocate(month, rules)) == said(month)


@settings(deadline=None)
@given(MONTHS, RULES)
def test_every_origin_keeps_its_cost(month: list[SourceRow], rules: list[Rule]) -> None:
    now: Counter[object] = Counter()
    for placement, pico in allocate(month, rules).items():
        now[placement.origin] += pico
    for row in month:
        now[row.origin] -= row.cost_pico_usd
    assert not any(now.values())


@settings(deadline=None)
@given(MONTHS, RULES, st.randoms(use_true_random=False))
def test_the_order_of_costs_and_rules_changes_nothing(
    month: list[SourceRow], rules: list[Rule], random: Random
) -> None:
    once = allocate(month, rules)
    random.shuffle(month)
    random.shuffle(rules)
    again = allocate(month, rules)
    assert again == once and digest(again) == digest(once)


@settings(deadline=None)
@given(MONTHS, RULES)
def test_rows_that_are_split_up_allocate_as_their_sum(month: list[SourceRow], rules: list[Rule]) -> None:
    torn = [
        piece
        for row in month
        for piece in (row._replace(cost_pico_usd=row.cost_pico_usd - 7), row._replace(cost_pico_usd=7, metrics={}))
    ]
    assert allocate(torn, rules) == allocate(month, rules)


@settings(deadline=None)
@given(MONTHS, RULES)
def test_idle_cost_stays_in_its_bucket(month: list[SourceRow], rules: list[Rule]) -> None:
    idle: Counter[str] = Counter()
    for row in month:
        if row.kind == "idle":
            idle[row.reason] += row.cost_pico_usd
    for placement, pico in allocate(month, rules).items():
        if placement.kind == "idle":
            idle[placement.reason] -= pico
    assert not any(idle.values())


@settings(deadline=None)
@given(MONTHS, RULES)
def test_what_is_unallocated_says_why_unless_nobody_owned_it(month: list[SourceRow], rules: list[Rule]) -> None:
    for placement in allocate(month, rules):
        if placement.kind == "unallocated" and placement.model != "direct":
            assert placement.reason
        if placement.kind == "allocated":
            assert placement.rule and any(tag != "unallocated" for tag in placement.tags)


@settings(deadline=None)
@given(MONTHS, RULES, MONTHS, RULES)
def test_versions_add_up_and_the_same_again_is_no_version(
    first: list[SourceRow], rules: list[Rule], late: list[SourceRow], others: list[Rule]
) -> None:
    known = allocate(first, rules)
    assert difference(known, allocate(first, rules)) == {}
    second = allocate([*first, *late], others)
    summed = Counter(known)
    summed.update(difference(known, second))
    assert {placement: pico for placement, pico in summed.items() if pico} == second


@settings(deadline=None)
@given(MONTHS, RULES, MONTHS, RULES)
def test_what_is_shown_in_between_adds_up_and_what_moves_is_lost_by_one_and_gained_by_another(
    first: list[SourceRow], rules: list[Rule], late: list[SourceRow], others: list[Rule]
) -> None:
    month = [*first, *late]
    shown, then = as_shown(allocate(first, rules), month), allocate(month, others)
    assert by_source(shown) == said(month)
    balance: Counter[str] = Counter()
    for move in moves(shown, then):
        assert move.pico_usd > 0 and move.from_bucket != move.to_bucket
        balance[move.from_bucket] -= move.pico_usd
        balance[move.to_bucket] += move.pico_usd
    for amounts, sign in ((shown, 1), (then, -1)):
        for placement, pico in amounts.items():
            balance[placement.bucket] += sign * pico
    assert not any(balance.values())


@given(
    st.lists(st.integers(-(10**15), 10**15), max_size=8),
    st.dictionaries(st.tuples(st.text(max_size=2)), st.integers(0, 10**6), min_size=1, max_size=6).filter(
        lambda weights: sum(weights.values()) > 0
    ),
)
def test_a_spread_adds_up_by_amount_and_by_owner(amounts: list[int], weights: dict[tuple[str, ...], int]) -> None:
    parts = list(spread(amounts, weights))
    assert [sum(part.values()) for part in parts] == amounts
    keys = list(weights)
    whole = split(sum(amounts), [weights[key] for key in keys], keys)
    assert [sum(part[key] for part in parts) for key in keys] == whole
