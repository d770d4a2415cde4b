"""Who was seen before: the table agrees with a dictionary, whatever the batches, and its memory is what it says."""

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spendstream.domain.attribution.dedup import DedupIndex, IdTable, Verdicts

FOR_EVER_MS = 10**15
PLENTY = 10**9
GIB = 2**30
Event = tuple[int, int]

# Few distinct ids, so that repeats inside a batch, across batches and with other content are all common.
events = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=120)


def arrays(batch: Sequence[Event]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    ids = np.array([identity for identity, _ in batch], dtype=np.uint64)
    return ids, np.array([content for _, content in batch], dtype=np.uint32)


def take(index: DedupIndex, batch: Sequence[Event], now_ms: int = 0) -> list[str]:
    """Judge and remember a batch as attribution does; one word per event."""
    ids, content = arrays(batch)
    verdicts = index.judge(ids, content)
    index.remember(ids[verdicts.new], content[verdicts.new], now_ms)
    return words(verdicts)


def words(verdicts: Verdicts) -> list[str]:
    stacked = np.array([verdicts.new, verdicts.duplicate, verdicts.conflict])
    assert (stacked.sum(axis=0) == 1).all(), "an event is exactly one of new, duplicate, conflict"
    return [("new", "duplicate", "conflict")[i] for i in stacked.argmax(axis=0).tolist()]


def by_dictionary(batch: Sequence[Event], seen: dict[int, int]) -> list[str]:
    found = []
    for identity, content in batch:
        identity = identity or 1  # identity 0 marks an empty slot and shares the fate of 1
        if identity not in seen:
            seen[identity] = content
            found.append("new")
        else:
            found.append("duplicate" if seen[identity] == content else "conflict")
    return found


@given(st.lists(events, max_size=12))
def test_verdicts_are_those_of_a_dictionary(batches: list[list[Event]]) -> None:
    index, seen = DedupIndex(FOR_EVER_MS, PLENTY), dict[int, int]()
    for batch in batches:
        assert take(index, batch) == by_dictionary(batch, seen)
    assert index.count == len(seen)


@given(events, st.lists(st.integers(0, 120), max_size=6))
def test_verdicts_do_not_depend_on_how_the_log_is_cut(log: list[Event], cuts: list[int]) -> None:
    whole = take(DedupIndex(FOR_EVER_MS, PLENTY), log)
    index, pieces = DedupIndex(FOR_EVER_MS, PLENTY), list[str]()
    for start, end in pairwise(sorted({0, len(log), *(min(cut, len(log)) for cut in cuts)})):
        pieces += take(index, log[start:end])
    assert pieces == whole


@given(events)
def test_judging_remembers_nothing(log: list[Event]) -> None:
    index = DedupIndex(FOR_EVER_MS, PLENTY)
    ids, content = arrays(log)
    assert words(index.judge(ids, content)) == words(index.judge(ids, content))
    assert index.count == 0


@settings(deadline=None)
@example([(0, 1), (201, 1), (400, 1), (400, 1)])
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 30)), min_size=1, max_size=60))
def test_an_id_is_recognised_throughout_the_horizon_and_memory_ends_a_quarter_behind_it(
    arrivals: list[tuple[int, int]],
) -> None:
    horizon = 1_000
    index, now, last_new = DedupIndex(horizon, PLENTY), 0, dict[int, int]()
    for pause, identity in arrivals:
        now += pause
        verdict = take(index, [(identity, 0)], now)[0]
        if identity not in last_new:
            assert verdict == "new", "an id that never came cannot be a duplicate"
        elif now - last_new[identity] <= horizon:
            assert verdict == "duplicate"
        if verdict == "new":
            last_new[identity] = now
        held = index.held_since_ms
        if held is None:
            assert now - max(last_new.values()) > horizon
        else:
            assert held >= now - horizon - horizon // 4


@given(st.lists(st.integers(1, 12), min_size=1, max_size=120))
def test_at_capacity_the_newest_ids_are_kept_and_never_more_than_the_capacity(sizes: list[int]) -> None:
    capacity = 100
    index, newest = DedupIndex(FOR_EVER_MS, capacity), list[int]()
    for size in sizes:
        start = len(newest) + 1
        batch = [(identity, 0) for identity in range(start, start + size)]
        assert take(index, batch) == ["new"] * size
        newest += [identity for identity, _ in batch]
        assert index.count <= capacity
        half = [(identity, 0) for identity in newest[-capacity // 2 :]]
        assert words(index.judge(*arrays(half))) == ["duplicate"] * len(half)


def test_a_new_generation_does_not_forget_what_the_older_ones_know() -> None:
    index = DedupIndex(horizon_ms=4_000, capacity=PLENTY)
    for step in range(4):
        take(index, [(step + 10, step)], now_ms=step * 1_001)
    assert take(index, [(10, 0), (11, 1), (12, 2), (13, 3), (10, 9)], 3_003) == [*["duplicate"] * 4, "conflict"]


def test_an_id_that_was_forgotten_is_new_again_and_brings_its_new_content() -> None:
    index = DedupIndex(horizon_ms=1_000, capacity=PLENTY)
    take(index, [(7, 1)], 0)
    take(index, [(8, 1)], 5_000)
    assert take(index, [(7, 2)], 5_000) == ["new"]
    assert take(index, [(7, 2), (7, 1)], 5_000) == ["duplicate", "conflict"]


def test_forgetting_all_leaves_nothing() -> None:
    index = DedupIndex(FOR_EVER_MS, PLENTY)
    take(index, [(7, 1)], 5)
    index.clear()
    assert (index.count, index.held_since_ms) == (0, None)
    assert take(index, [(7, 1)], 5) == ["new"]


def test_a_batch_without_ids_is_harmless() -> None:
    index = DedupIndex(FOR_EVER_MS, PLENTY)
    assert take(index, [], 5) == []
    assert index.count == 0


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 2**32), st.integers(1, 20_000))
def test_a_table_that_grows_loses_nothing(seed: int, count: int) -> None:
    ids = np.unique(np.random.default_rng(seed).integers(1, 2**64, count, dtype=np.uint64))
    content = (ids >> np.uint64(7)).astype(np.uint32)
    table = IdTable(slots=16)
    for part in np.array_split(np.arange(ids.size), 7):
        table.add(ids[part], content[part])
    found, seen = table.find(ids)
    assert found.all() and (seen == content).all() and table.count == ids.size
    assert not table.find(ids ^ np.uint64(1 << 63))[0][~np.isin(ids ^ np.uint64(1 << 63), ids)].any()


def test_ids_that_share_a_home_are_all_found() -> None:
    table = IdTable(slots=16)
    home = table._home(np.arange(1, 5_000, dtype=np.uint64))
    crowd = np.flatnonzero(home == home[0])[:11].astype(np.uint64) + np.uint64(1)
    content = np.arange(crowd.size, dtype=np.uint32)
    table.add(crowd, content)
    found, seen = table.find(crowd)
    assert found.all() and seen.tolist() == content.tolist()


def test_the_default_capacity_fits_the_gibibyte_that_is_promised() -> None:
    # A 64th of one of four partitions: tables double, so the fill of a full generation is the same at any scale.
    share = 50_000_000 // 4 // 64
    rng = np.random.default_rng(1)
    tracemalloc.start()
    try:
        index = DedupIndex(FOR_EVER_MS, share)
        for _ in range(share // 1_000):
            ids = rng.integers(1, 2**64, 1_000, dtype=np.uint64)
            index.remember(ids, np.zeros(ids.size, dtype=np.uint32), 0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    bytes_an_id = held / index.count
    assert bytes_an_id * 50_000_000 <= GIB, f"{bytes_an_id:.1f} bytes an id"
