from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.budgets.cube import Cube
from spendstream.domain.budgets.scopes import ScopeIndex
from tests.unit.domain.budgets_support import budget

SLOT = 100
Entry = tuple[int, int, int]
entries = st.lists(st.tuples(st.integers(0, 999), st.integers(0, 5), st.integers(-(2**61), 2**61)), max_size=3)


def added(cube: Cube, rows: list[Entry]) -> Cube:
    instants, combos, pico = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    cube.add(instants, combos, pico)
    return cube


@given(st.lists(entries.filter(bool), max_size=6))
def test_totals_are_exact_and_leave_64_bits(batches: list[list[Entry]]) -> None:
    cube, expected, slots = Cube(SLOT), Counter[int](), Counter[tuple[int, int]]()
    for batch in batches:
        for instant, combo, pico in batch:
            slots[instant // SLOT, combo] += abs(pico)
        if max(slots.values()) >= 2**62 - 2**20:  # where the guard may already stop it
            return
        added(cube, batch)
        for instant, combo, pico in batch:
            if 200 <= instant < 800:
                expected[combo] += pico
    assert {k: v for k, v in cube.totals(200, 800).items() if v} == {k: v for k, v in expected.items() if v}
    assert Cube.restore(cube.snapshot()).totals(0, 1000) == cube.totals(0, 1000)


def test_a_sum_that_could_leave_64_bits_in_one_slot_stops_loudly() -> None:
    with pytest.raises(OverflowError):
        added(Cube(SLOT), [(0, 1, 2**62), (0, 1, 2**62)])


def test_what_is_pruned_is_gone_and_the_rest_stays() -> None:
    cube = added(Cube(SLOT), [(50, 1, 5), (150, 1, 7)])
    cube.prune(100)
    assert cube.totals(0, 1000) == {1: 7}


def test_an_entry_takes_twelve_bytes() -> None:
    cube = added(Cube(SLOT), [(0, combo, 1) for combo in range(1000)])
    assert (cube.entries, cube.nbytes) == (1000, 12_000)


def test_renumbering_keeps_the_sums() -> None:
    cube = added(Cube(SLOT), [(0, 3, 5), (0, 8, 7), (150, 8, 1)])
    cube.renumber(cube.combos())
    assert cube.totals(0, 1000) == {0: 5, 1: 8}


def test_an_empty_cube_survives_a_snapshot() -> None:
    assert Cube.restore(Cube(SLOT).snapshot()) == Cube(SLOT)


values = st.sampled_from(["a", "b"])
scopes = st.dictionaries(st.sampled_from(["team", "project", "environment", "service", "model"]), values)
combos = st.tuples(st.just("default"), *[values] * 7)


@given(st.lists(scopes, max_size=8), combos)
def test_the_index_finds_exactly_the_budgets_whose_scope_fits(
    wanted: list[dict[str, str]], combo: tuple[str, ...]
) -> None:
    names = ("org", "team", "project", "environment", "cost_center", "service", "provider", "model")
    row = dict(zip(names, combo, strict=True))
    budgets = [budget(str(number), scope=scope) for number, scope in enumerate(wanted)]
    fitting = {item.name for item in budgets if all(row[key] == value for key, value in item.scope)}
    assert {item.name for item in ScopeIndex(budgets).match(combo)} == fitting
