"""What a GPU costs and whose it is: the worked figures, the ways to share a device, and that nothing is ever lost."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.gpu import (
    MEMORY,
    SM,
    BadSampleError,
    cost_pico_usd,
    effective_price,
    parse_sharing,
    read_sample,
)
from tests.unit.domain.gpu_support import HOUR_MS, USD, book, buckets, price, rated, reading

SEARCH = {"pod": "ranker-0", "team": "search"}
LAB = {"job": "train-17", "team": "lab"}


@pytest.mark.parametrize(("percent", "usd"), [(100, 4), (25, 16), (10, 40)])
def test_a_gpu_at_4_dollars_costs_4_16_and_40_per_effective_hour_at_100_25_and_10_percent(
    percent: int, usd: int
) -> None:
    used = buckets(reading(SEARCH, sm_active=percent / 100))["search"]
    assert used == 4 * USD * percent // 100
    assert Fraction(4 * USD, used) * 4 == usd == effective_price(4, Fraction(percent, 100))


def test_a_device_that_does_nothing_has_no_effective_price() -> None:
    assert effective_price(4, Fraction(0)) is None


@pytest.mark.parametrize(
    ("usd_per_hour", "interval_ms", "pico"),
    [("4.50", 10_000, 12_500_000_000), ("0.35", 30_000, 2_916_666_667), ("1.75", 1, 486_111), ("0", 30_000, 0)],
)
def test_cost_is_price_per_hour_times_interval_rounded_once(usd_per_hour: str, interval_ms: int, pico: int) -> None:
    declared = book(prices=[price(usd_per_hour)])
    assert rated(reading(interval_ms=interval_ms), declared).cost_pico_usd == pico


def test_what_is_allocated_and_not_used_is_idle_at_its_owner() -> None:
    assert buckets(reading(SEARCH, engine_active=0.25)) == {"search": USD, "idle:search": 3 * USD}


def test_a_device_nobody_holds_is_idle_and_one_that_works_for_nobody_known_is_unallocated() -> None:
    assert buckets(reading()) == {"idle": 4 * USD}
    assert buckets(reading(sm_active=0.5)) == {"unallocated": 2 * USD, "idle": 2 * USD}


def test_a_bare_process_uses_the_device_but_does_not_hold_it() -> None:
    assert buckets(reading({"pid": 7, "sm_share": 0.25})) == {"unallocated": USD, "idle": 3 * USD}


def test_several_owners_share_by_sm_time_and_each_idles_what_it_left_of_its_half() -> None:
    record = reading({**SEARCH, "sm_share": 0.5}, {**LAB, "sm_share": 0.25}, sm_active=0.75)
    assert buckets(record) == {"search": 2 * USD, "lab": USD, "idle:lab": USD}


def test_by_policy_they_share_by_memory_and_by_sm_time_where_nobody_measured_it() -> None:
    search, lab = {**SEARCH, "sm_share": 0.5, "memory_bytes": 10}, {**LAB, "sm_share": 0.5, "memory_bytes": 30}
    declared = book(basis=MEMORY)
    assert buckets(reading(search, lab, memory_total_bytes=40), declared) == {"search": USD, "lab": 3 * USD}
    assert buckets(reading(search, lab), declared) == {"search": 2 * USD, "lab": 2 * USD}
    alone = reading(SEARCH, memory_used_bytes=10, memory_total_bytes=40)
    assert buckets(alone, declared) == {"search": USD, "idle:search": 3 * USD}


def test_time_slices_say_what_each_may_use_and_what_is_allocated_to_nobody() -> None:
    record = reading({**SEARCH, "time_slices": 2}, LAB, time_slices=4, sm_active=0.0)
    assert buckets(record) == {"idle:search": 2 * USD, "idle:lab": USD, "idle": USD}


def test_use_measured_for_the_device_alone_is_shared_by_what_is_held() -> None:
    record = reading({**SEARCH, "time_slices": 3}, LAB, sm_active=1.0)
    assert buckets(record) == {"search": 3 * USD, "lab": USD}


def test_without_any_measurement_whoever_is_on_the_device_has_it_all() -> None:
    assert buckets(reading(SEARCH, LAB)) == {"search": 2 * USD, "lab": 2 * USD}


def test_more_than_all_of_a_device_is_scaled_to_all_of_it() -> None:
    record = reading({**SEARCH, "sm_share": 1.0}, {**LAB, "sm_share": 0.6})
    assert buckets(record) == {"search": 4 * USD * 10 // 16, "lab": 4 * USD * 6 // 16}


def test_processes_of_one_pod_are_one_holder() -> None:
    record = reading({**SEARCH, "pid": 1, "sm_share": 0.25}, {**SEARCH, "pid": 2, "sm_share": 0.25})
    assert buckets(record) == {"search": 2 * USD, "idle:search": 2 * USD}


def test_mig_instances_cost_their_fraction_and_what_they_leave_of_the_device_is_idle() -> None:
    instances = [
        {"mig_instance": "1", "fraction": 3 / 7, "sm_active": 1.0},
        {"mig_instance": "2", "fraction": 2 / 7, "sm_active": 0.5},
    ]
    declared = book(prices=[price("7.00")])
    record = reading({**SEARCH, "mig_instance": "1"}, {**LAB, "mig_instance": "2"}, instances=instances)
    assert buckets(record, declared) == {"search": 3 * USD, "lab": USD, "idle:lab": USD, "idle": 2 * USD}


def test_a_slice_that_reports_for_itself_costs_its_fraction() -> None:
    record = reading(SEARCH, gpu_uuid="MIG-1", parent_uuid="GPU-1", fraction=3 / 7, sm_active=1.0, interval_ms=30_000)
    [row] = rated(record).rows
    assert (row.cost_pico_usd, row.share) == (14_285_714_286, Fraction(3, 7))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=7), st.integers(0, 10**14), st.integers(1, HOUR_MS))
def test_slices_that_say_where_they_begin_add_up_to_the_device(sizes: list[int], hourly: int, interval: int) -> None:
    whole, at = sum(sizes), 0
    cuts = [0, *((at := at + size) for size in sizes)]
    parts = [
        cost_pico_usd(hourly, interval, Fraction(end - start, whole), Fraction(start, whole))
        for start, end in pairwise(cuts)
    ]
    assert sum(parts) == cost_pico_usd(hourly, interval)


SHARE = st.none() | st.floats(0, 1)
PROCESSES = st.fixed_dictionaries(
    {"sm_share": SHARE, "memory_bytes": st.none() | st.integers(0, 10**11),
     "time_slices": st.none() | st.integers(0, 9), "pod": st.sampled_from([None, "a", "b"]),
     "team": st.sampled_from([None, "search", "lab"])}
)  # fmt: skip
MEASURES = st.fixed_dictionaries(
    {"sm_active": SHARE, "utilization": SHARE, "memory_used_bytes": st.none() | st.integers(0, 10**11),
     "memory_total_bytes": st.none() | st.integers(0, 10**11)}
)  # fmt: skip


@st.composite
def readings(draw: st.DrawFn) -> dict[str, Any]:
    """Any reading of a device, with or without MIG, time slices, processes and measurements."""
    sevenths = draw(st.lists(st.integers(1, 3), max_size=3).filter(lambda parts: sum(parts) <= 7))
    instances = [{**draw(MEASURES), "mig_instance": str(i), "fraction": part / 7} for i, part in enumerate(sevenths)]
    processes = draw(st.lists(PROCESSES, max_size=4))
    if instances:
        names = st.sampled_from([each["mig_instance"] for each in instances])
        processes = [{**process, "mig_instance": draw(names)} for process in processes]
    return reading(
        *processes, **draw(MEASURES), instances=instances, interval_ms=draw(st.integers(1, HOUR_MS)),
        time_slices=draw(st.none() | st.integers(0, 9)),
    )  # fmt: skip


@given(readings(), st.sampled_from([SM, MEMORY]), st.integers(0, 9_000_000_000_000))
def test_the_rows_of_any_reading_sum_to_the_device_to_the_pico_dollar(
    record: dict[str, Any], basis: str, pico: int
) -> None:
    declared = book(basis=basis, prices=[price(f"{pico / USD:.12f}")])
    result = rated(record, declared)
    assert sum(row.cost_pico_usd for row in result.rows) == result.cost_pico_usd
    assert sum(row.share for row in result.rows) == 1
    assert all(row.cost_pico_usd >= 0 and row.share > 0 for row in result.rows)
    assert rated(record, declared) == result


@given(readings())
def test_every_row_is_owned_idle_at_an_owner_or_idle_at_nobody(record: dict[str, Any]) -> None:
    for row in rated(record).rows:
        assert (row.kind == "idle") == (row.owned.source == "")
        assert row.kind == "idle" or row.owned.tags["team"]


def test_a_reading_that_stands_for_more_than_twice_the_declared_interval_is_a_gap() -> None:
    long = reading(SEARCH, interval_ms=60_001, declared_interval_ms=30_000)
    assert (rated(long).status, rated(long).cost_pico_usd, rated(long).rows) == ("gap", 0, ())
    assert rated(reading(SEARCH, interval_ms=60_000, declared_interval_ms=30_000)).status == "priced"


def test_a_model_without_a_price_is_unpriced_with_its_reason_and_still_has_its_owners() -> None:
    result = rated(reading(SEARCH, gpu_model="NVIDIA Y2", sm_active=0.5))
    assert (result.status, result.reason, result.cost_pico_usd) == ("unpriced", "model", 0)
    assert [(row.kind, row.share) for row in result.rows] == [("used", Fraction(1, 2)), ("idle_owner", Fraction(1, 2))]


INSTANCES = [{"mig_instance": "1", "fraction": 0.5}]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (reading(gpu_uuid=""), "missing_gpu_uuid"),
        (reading(interval_ms=0), "bad_interval"),
        (reading(interval_ms=32 * 24 * HOUR_MS), "bad_interval"),
        (reading(declared_interval_ms=-1), "bad_interval"),
        (reading(sm_active=1.5), "bad_share"),
        (reading(utilization=float("inf")), "bad_share"),
        (reading({"sm_share": -0.1}), "bad_share"),
        (reading({"memory_bytes": -1}), "negative_count"),
        (reading(fraction=0.0), "bad_fraction"),
        (reading(fraction=0.5, fraction_from=0.75), "bad_fraction"),
        (reading(instances=[*INSTANCES, {"mig_instance": "2", "fraction": 0.6}]), "bad_fraction"),
        (reading(instances=[*INSTANCES, *INSTANCES]), "bad_instance"),
        (reading({"mig_instance": "9"}, instances=INSTANCES), "bad_instance"),
    ],
)
def test_what_cannot_be_true_is_refused_with_a_reason(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadSampleError) as refused:
        read_sample(record)
    assert refused.value.reason == reason


def test_a_measure_that_is_no_number_was_not_measured() -> None:
    nan = float("nan")
    assert buckets(reading({**SEARCH, "sm_share": nan}, sm_active=nan, utilization=0.25)) == {
        "search": USD, "idle:search": 3 * USD,
    }  # fmt: skip


@given(st.integers(2, 9), st.integers(2, 4))
def test_fractions_that_were_rounded_up_are_scaled_to_the_device(count: int, digits: int) -> None:
    rounded = -(-(10**digits) // count) / 10**digits
    parts = [{"mig_instance": str(i), "fraction": rounded, "sm_active": 1.0} for i in range(count)]
    record = reading(*({"team": str(i), "mig_instance": str(i)} for i in range(count)), instances=parts)
    if sum(Fraction(rounded).limit_denominator(10**6) for _ in parts) > Fraction(101, 100):
        with pytest.raises(BadSampleError, match="devices"):
            read_sample(record)
        return
    assert {row.share for row in rated(record).rows} == {Fraction(1, count)}


def test_an_absurd_amount_is_refused() -> None:
    with pytest.raises(BadSampleError, match="pico-dollars"):
        rated(reading(interval_ms=24 * HOUR_MS), book(prices=[price("999999")]))


def test_a_sharing_policy_says_sm_or_memory() -> None:
    assert parse_sharing({"kind": "gpu_sharing", "by": "memory"}) == (MEMORY, [])
    assert parse_sharing({"kind": "gpu_sharing"}) == (SM, [])
    assert [path for path, _ in parse_sharing({"kind": "gpu_sharing", "by": "luck", "for": "all"})[1]] == ["for", "by"]
