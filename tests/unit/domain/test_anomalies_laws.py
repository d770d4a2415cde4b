"""Laws: alerts follow from the log, not from batches or crashes; effects add up; time waits for the slowest."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain.anomalies import AnomalyEngine, Lateness
from spendstream.domain.anomalies.cause import explain
from spendstream.domain.anomalies.columns import COST
from spendstream.domain.anomalies.series import SPANS
from spendstream.domain.anomalies.spike import SPEND_60
from spendstream.domain.anomalies.watermark import Watermark
from spendstream.domain.slots import OTHER, Slots
from tests.unit.domain.anomalies_support import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    START,
    deltas,
    in_time,
    opened,
    steady,
    timeless,
)


def log() -> pl.DataFrame:
    """Three days with every kind of alert in them, some records late, some hours late."""
    incident = START + 2 * DAY + 3 * HOUR
    parts = [
        steady(START, incident, 60, 200, 500),
        steady(incident, incident + HOUR, 60, 200, 9_000),
        steady(incident + HOUR, incident + 5 * HOUR, 60, 200, 500),
        *(
            steady(START + d * DAY + 8 * HOUR, START + d * DAY + 13 * HOUR, 5, 200, 500, grain="caller", user_id="u-1")
            for d in range(2)
        ),
        steady(incident, incident + HOUR, 90, 200, 9_000, grain="caller", user_id="u-1"),
        steady(incident, incident + HOUR, 3, 200, 500, model="mystery", unpriced_events=3),
    ]
    rows = in_time(*parts)
    rng = np.random.default_rng(3)
    delay = np.where(rng.random(len(rows)) < 0.01, rng.integers(0, 5 * 60, len(rows)), rng.integers(0, 2, len(rows)))
    arrival = pl.Series("arrival", rows["minute"].to_numpy() + delay * MINUTE)
    return rows.with_columns(arrival).sort("arrival", maintain_order=True).drop("arrival")


LOG = log()
AT_ONCE = timeless(AnomalyEngine().update(LOG, NOW))


def test_the_log_of_these_laws_has_every_detector_in_it() -> None:
    assert {a["name"] for a in AT_ONCE} == {"spike", "hour_3x", "user_10x", "new_model", "unpriced_usage"}


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, len(LOG) - 1), max_size=25))
def test_batch_boundaries_change_nothing(cuts: list[int]) -> None:
    engine, alerts = AnomalyEngine(), []
    edges = [0, *sorted(set(cuts)), len(LOG)]
    for first, end in pairwise(edges):
        alerts += engine.update(LOG[first:end], NOW)
    assert timeless(alerts) == AT_ONCE


@settings(max_examples=6, deadline=None)
@given(st.integers(1, len(LOG) - 1))
def test_a_snapshot_in_the_middle_changes_nothing(cut: int) -> None:
    first = AnomalyEngine()
    alerts = first.update(LOG[:cut], NOW)
    second = AnomalyEngine()
    second.restore(json.loads(json.dumps(first.snapshot())))
    alerts += second.update(LOG[cut:], NOW)
    assert timeless(alerts) == AT_ONCE


@settings(max_examples=6, deadline=None)
@given(st.integers(1, len(LOG) - 2), st.integers(1, len(LOG) - 1))
def test_after_a_crash_published_alerts_are_not_published_again(saved: int, crashed: int) -> None:
    saved, crashed = sorted((saved, crashed))
    first = AnomalyEngine()
    published = first.update(LOG[:saved], NOW)
    state = json.loads(json.dumps(first.snapshot()))
    published += first.update(LOG[saved:crashed], NOW)
    second = AnomalyEngine()
    second.restore(state)
    second.recall(published)
    published += second.update(LOG[saved:], NOW)
    assert timeless(published) == AT_ONCE


def test_a_state_lost_altogether_repeats_nothing_that_was_published() -> None:
    published = AnomalyEngine().update(LOG, NOW)
    fresh = AnomalyEngine()
    fresh.recall(published)
    assert fresh.update(LOG, NOW) == []


def test_a_snapshot_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 99"):
        AnomalyEngine().restore({**AnomalyEngine().snapshot(), "version": 99})


def test_a_quiet_live_stream_is_closed_by_the_clock() -> None:
    incident = START + 2 * DAY
    engine = AnomalyEngine()
    now = incident + 2 * MINUTE
    alerts = engine.update(in_time(steady(START, incident, 60, 200, 500), steady(incident, now, 60, 200, 15_000)), now)
    assert not opened(alerts, "spike")
    assert opened(engine.tick(now + 130_000_000), "spike")
    resolved = engine.tick(now + 3 * HOUR)
    assert [a["state"] for a in resolved if a["name"] == "spike"] == ["resolved"]


def test_the_clock_does_not_run_through_a_replay_of_the_past() -> None:
    engine = AnomalyEngine()
    engine.update(steady(START, START + HOUR, 60, 200, 500), NOW)
    engine.tick(NOW + 2 * HOUR)
    tenant = engine.snapshot()["tenants"]["default"]
    assert tenant["watermark"]["first_open"] * MINUTE == START + HOUR


def test_the_slowest_source_partition_decides_what_is_closed() -> None:
    incident = START + 2 * DAY
    rows = in_time(steady(START, incident, 60, 200, 500), steady(incident, incident + HOUR, 60, 200, 9_000))
    halves = [rows.with_columns(pl.lit(p, dtype=pl.Int64).alias("source_partition")) for p in (0, 1)]
    one_after_the_other = AnomalyEngine(source_partitions=2)
    alerts = one_after_the_other.update(halves[0], NOW) + one_after_the_other.update(halves[1], NOW)
    together = AnomalyEngine(source_partitions=2).update(in_time(*halves), NOW)
    assert timeless(alerts) == timeless(together)
    assert opened(alerts, "spike")


def test_a_stalled_partition_does_not_hold_the_others_for_ever() -> None:
    mark = Watermark(Lateness(stall_seconds=30), source_partitions=2)
    first = NOW // MINUTE - 100
    minutes = np.array([first, first + 100])
    mark.assign(minutes, np.array([0, 0]), NOW)
    assert mark.first_open < first
    mark.assign(minutes + 1, np.array([0, 0]), NOW + 31_000_000)
    assert mark.first_open == first + 100


def test_a_backlog_that_is_drained_slowly_partition_by_partition_teaches_the_same() -> None:
    incident = START + 2 * DAY
    rows = in_time(steady(START, incident, 60, 200, 500), steady(incident, incident + HOUR, 60, 200, 9_000))
    parts = [rows.with_columns(pl.lit(p, dtype=pl.Int64).alias("source_partition")) for p in range(3)]
    slow, alerts, now = AnomalyEngine(source_partitions=3), [], NOW
    for start in range(0, len(rows), 5_000):
        for part in parts:
            alerts += slow.update(part[start : start + 5_000], now)
            now += 150_000_000
            alerts += slow.tick(now)
    assert opened(alerts, "spike")
    assert timeless(alerts) == timeless(AnomalyEngine(source_partitions=3).update(in_time(*parts), NOW))


def test_hours_learned_from_little_do_not_make_the_normal_of_all_others_grow_day_by_day() -> None:
    # Every hour by chance as usual or without a call: some are learned as silent, and an incident lasts over others.
    rng, now = np.random.default_rng(1), START + 21 * DAY
    hours = [START + hour * HOUR for hour in range(21 * 24) if rng.random() < 0.5]
    engine = AnomalyEngine()
    engine.update(in_time(*(steady(hour, hour + HOUR, 60, 200, 500) for hour in hours)), now)
    series = next(iter(engine._tenants.values())).organisation.series.slots
    dearest = np.log(series["sums"][SPANS.index(60), COST].max() + 1e11)
    assert series["centre"][SPEND_60].max() < dearest + 1.5, "an hour of 60 calls a minute, give or take"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(0, 39))
def test_a_late_record_counts_in_the_first_open_minute(minutes: list[int], cut: int) -> None:
    whole, halves = Watermark(Lateness()), Watermark(Lateness())
    values, zeros = np.array(minutes), np.zeros(len(minutes), dtype=np.int64)
    expected = whole.assign(values, zeros, NOW)
    parts = [halves.assign(values[:cut], zeros[:cut], NOW), halves.assign(values[cut:], zeros[cut:], NOW)]
    assert np.concatenate(parts).tolist() == expected.tolist()
    newest = np.maximum.accumulate(values)
    assert expected.tolist() == np.maximum(values, newest - 1).tolist()


@given(
    st.lists(st.integers(1, 10**9), min_size=7, max_size=7),
    st.lists(st.integers(1, 10**9), min_size=7, max_size=7),
    st.floats(0, 1e15),
)
def test_effects_add_up_to_the_change_to_the_pico_dollar(normal: list[int], now: list[int], expected: float) -> None:
    before, after = np.array(normal, dtype=float), np.array(now, dtype=float)
    cause = explain(before, after, 0.25, expected, "m")
    assert sum(effect for _, effect in cause.effects) == round(float(after[1]) / 0.25 - expected)


def test_slots_beyond_the_cap_share_the_overflow_and_forgotten_ones_are_given_away() -> None:
    slots = Slots(2, {"x": ((), "<i8", 0)})
    a, b, c, d = (slots.slot(key, 0) for key in "abcd")
    assert c == d == slots.index[OTHER]
    slots["x"][a] = 5
    slots["seen"][[b, c]] = 10
    slots.release_unseen(5)
    assert slots.slot("e", 11) == a
    assert slots["x"][a] == 0


def test_unsorted_silence_of_weeks_is_skipped() -> None:
    rows = deltas([{"minute": START, "requests": 1}, {"minute": START + 60 * DAY, "requests": 1}])
    engine = AnomalyEngine()
    assert engine.update(rows, NOW) == []
    tenant: dict[str, Any] = engine.snapshot()["tenants"]["default"]["organisation"]
    assert tenant["next_minute"] * MINUTE == START + 60 * DAY - MINUTE
