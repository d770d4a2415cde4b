"""The imagined company: the same for a seed, whole however it is cut, and with the habits its file declares."""

from collections import Counter

import numpy as np
import pytest

from loadgen.pricing import buckets_of
from loadgen.scenarios import DEFAULT_WORLD, load_world
from loadgen.traces.assign import assign
from loadgen.wire import defaults
from loadgen.world import HOUR, SECOND, Assigner, World

MONDAY = 1_763_942_400_000_000 - 7 * 24 * HOUR  # 2025-11-17T00:00Z
SPEC = load_world(DEFAULT_WORLD)


def records(start, end, seed=3, rate=2.0):
    return [r for *_, rs in World(SPEC, seed, rate).events(start, end, "t-") for r in rs]


def test_the_same_seed_is_the_same_company_and_another_is_not():
    assert records(MONDAY, MONDAY + HOUR) == records(MONDAY, MONDAY + HOUR)
    assert records(MONDAY, MONDAY + HOUR) != records(MONDAY, MONDAY + HOUR, seed=4)


def test_a_range_is_the_same_events_however_it_is_cut():
    cut = MONDAY + 17 * 60 * SECOND + 123_456
    assert records(MONDAY, cut) + records(cut, MONDAY + HOUR) == records(MONDAY, MONDAY + HOUR)


def test_ids_are_unique_and_times_in_order():
    found = records(MONDAY, MONDAY + HOUR)
    assert len({r["event_id"] for r in found}) == len(found)
    assert [r["occurred_at"] for r in found] == sorted(r["occurred_at"] for r in found)


def test_afternoons_are_busier_than_nights_and_sundays_quieter_than_mondays():
    night, afternoon = (len(records(MONDAY + h * HOUR, MONDAY + (h + 1) * HOUR)) for h in (3, 15))
    sunday = len(records(MONDAY + (6 * 24 + 15) * HOUR, MONDAY + (6 * 24 + 16) * HOUR))
    assert afternoon > 2 * night
    assert afternoon > 2 * sunday


def test_the_expected_count_is_about_the_count():
    world = World(SPEC, 3, 2.0)
    assert world.expected_events(MONDAY, MONDAY + 24 * HOUR) == pytest.approx(
        len(records(MONDAY, MONDAY + 24 * HOUR)), rel=0.02
    )


def test_events_have_the_habits_the_file_declares():
    found = records(MONDAY + 9 * HOUR, MONDAY + 15 * HOUR)
    conventions = {(r["provider"], r["convention"]) for r in found}
    assert ("anthropic", "disjoint") in conventions and ("openai", "inclusive") in conventions
    failed = sum(r["status"] != "ok" for r in found) / len(found)
    assert 0.005 < failed < 0.02
    hashes = Counter(r["prompt_hash"] for r in found if r["service"] == "ranker")
    repeated = sum(n for n in hashes.values() if n > 1) / sum(hashes.values())
    assert 0.15 < repeated < 0.35
    assert any(r["cache_hit"] for r in found)
    assert all(min(buckets_of(r)) >= 0 for r in found)


def test_traced_requests_keep_their_ids_times_and_total_tokens():
    rng = np.random.default_rng(1)
    traced = [
        {**defaults(), "event_id": f"e{n}", "occurred_at": MONDAY + n, "input_tokens": int(i), "output_tokens": int(o)}
        for n, (i, o) in enumerate(rng.integers(1, 9_000, (500, 2)))
    ]
    owned = assign(Assigner(SPEC, 5), traced)
    assert owned == assign(Assigner(SPEC, 5), traced)
    assert {r["team"] for r in owned} == {c.team for c in SPEC.callers}
    for before, after in zip(traced, owned, strict=True):
        buckets = buckets_of(after)
        assert (after["event_id"], after["occurred_at"]) == (before["event_id"], before["occurred_at"])
        assert sum(buckets) == before["input_tokens"] + before["output_tokens"]


def test_a_trace_that_names_its_model_keeps_the_call_and_gets_an_owner():
    told = {
        "provider": "azure",
        "model": "gpt-4",
        "input_tokens": 7,
        "output_tokens": 3,
        "requests": 2,
        "session_id": "s",
    }
    traced = [{**defaults(), "event_id": f"e{n}", "occurred_at": MONDAY, **told} for n in range(50)]
    owned = assign(Assigner(SPEC, 5), traced)
    assert all({name: row[name] for name in told} == told for row in owned)
    assert all(row["cache_read_tokens"] == row["reasoning_tokens"] == row["image_input_tokens"] == 0 for row in owned)
    assert len({row["team"] for row in owned}) > 1


def test_a_trace_that_names_its_cached_prefix_keeps_it_in_either_convention():
    told = {"input_tokens": 1_000, "cache_read_tokens": 512, "output_tokens": 3, "prefix_hash": "block-1"}
    traced = [{**defaults(), "event_id": f"e{n}", "occurred_at": MONDAY, **told} for n in range(200)]
    owned = assign(Assigner(SPEC, 5), traced)
    assert {(row["convention"], row["input_tokens"]) for row in owned} == {("inclusive", 1_000), ("disjoint", 488)}
    assert all(row["cache_read_tokens"] == 512 and sum(buckets_of(row)) == 1_003 for row in owned)
