"""What prices known now change about GPU readings: exact, the same whether rated at once or later, and nothing else."""

from fractions import Fraction
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.gpu import GpuPriceBook, cost_pico_usd
from spendstream.domain.gpu.reprice import GpuSummary, changes, improvements
from spendstream.domain.gpu.sample import nearest
from spendstream.domain.gpu.weights import split_by_weights, split_columns, weights_of
from tests.unit.domain.gpu_support import HOUR_MS, USD, book, price, rated, reading

JANUARY = 1_767_225_600_000_000
DAY = 86_400_000_000
AMOUNTS = st.integers(0, 10**11) | st.sampled_from([0, 1, 2**63 - 1])
WEIGHTS = st.lists(st.integers(0, 9) | st.integers(0, 2**59), min_size=1, max_size=7).filter(any)


@given(st.lists(st.tuples(AMOUNTS, WEIGHTS), min_size=1, max_size=20))
def test_many_readings_are_split_as_each_alone_and_to_the_pico_dollar(readings: list[tuple[int, list[int]]]) -> None:
    costs, weights = pl.Series([cost for cost, _ in readings]), pl.Series([parts for _, parts in readings])
    parts = split_columns(costs.to_numpy(), weights).to_list()
    assert parts == [split_by_weights(cost, parts) for cost, parts in readings]
    assert [sum(each) for each in parts] == costs.to_list()


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=9).filter(any), st.integers(1, 10**12))
def test_weights_of_shares_are_exact_and_add_up(sizes: list[int], scale: int) -> None:
    shares = [Fraction(size * scale, sum(sizes) * scale) for size in sizes]
    weights = weights_of([share.numerator for share in shares], [share.denominator for share in shares])
    assert [Fraction(weight, sum(weights)) for weight in weights] == shares


def test_shares_finer_than_64_bits_still_add_up() -> None:
    odd = [Fraction(1, prime) for prime in (999_983, 999_979, 999_961, 999_959)]
    shares = [*odd, 1 - sum(odd)]
    weights = weights_of([share.numerator for share in shares], [share.denominator for share in shares])
    assert sum(weights) == 10**18 and all(weight > 0 for weight in weights)
    assert abs(Fraction(weights[0], 10**18) - odd[0]) < Fraction(1, 10**18)


def standing(**fields: Any) -> dict[str, Any]:
    """An hour of a $4 device in January, rated at $4."""
    return {
        "org": "default", "gpu_uuid": "GPU-1", "gpu_model": "NVIDIA X1", "region": "", "sampled_at": JANUARY,
        "interval_ms": HOUR_MS, "fraction": 1.0, "fraction_from": None, "revision": 0, "status": "priced",
        "price_id": "gpu/x1@1970-01-01T00:00:00Z#1", "cost_pico_usd": 4 * USD, "weight": [1, 3],
        "team": ["search", ""], "kind": ["used", "idle"], "share": [0.25, 0.75], "part_pico_usd": [USD, 3 * USD],
        **fields,
    }  # fmt: skip


def frame(*readings: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(readings), schema_overrides={"fraction_from": pl.Float64})


def found(*readings: dict[str, Any], prices: GpuPriceBook) -> list[dict[str, Any]]:
    return changes(frame(*readings), {"default": prices}).sort("sampled_at").to_dicts()


def test_a_price_changed_for_the_past_changes_what_it_covers_and_nothing_else() -> None:
    prices = GpuPriceBook([price("4", name="gpu/x1"), price("3", start="2026-01-02", name="gpu/x1", revision=2)])
    before, at = standing(sampled_at=JANUARY + DAY - 1), standing(sampled_at=JANUARY + DAY, revision=4)
    [change] = found(before, at, standing(gpu_model="NVIDIA X1", sampled_at=JANUARY), prices=prices)
    assert (change["sampled_at"], change["revision"]) == (JANUARY + DAY, 5)
    assert (change["cost_after_pico_usd"], change["hourly_price_pico_usd"]) == (3 * USD, 3 * USD)
    assert (change["status_after"], change["price_id_after"]) == ("priced", "gpu/x1@2026-01-02T00:00:00Z#2")


def test_another_price_that_says_the_same_is_no_change() -> None:
    assert found(standing(), prices=GpuPriceBook([price("4.00", name="other")])) == []


def test_a_price_that_is_gone_leaves_a_reading_unpriced_and_one_that_comes_prices_it() -> None:
    [gone] = found(standing(), prices=GpuPriceBook())
    assert (gone["status_after"], gone["unpriced_reason_after"], gone["cost_after_pico_usd"]) == (
        "unpriced",
        "model",
        0,
    )
    [come] = found(standing(status="unpriced", price_id="", cost_pico_usd=0), prices=GpuPriceBook([price("4")]))
    assert (come["status_after"], come["cost_after_pico_usd"]) == ("priced", 4 * USD)
    lost_and_found = changes(
        frame(standing(), standing(status="unpriced", cost_pico_usd=0, sampled_at=1)),
        {"default": GpuPriceBook([price("5")])},
    )
    assert improvements(lost_and_found)["sampled_at"].to_list() == [1]


def test_a_price_of_zero_is_a_price() -> None:
    [free] = found(standing(status="unpriced", cost_pico_usd=0), prices=GpuPriceBook([price("0")]))
    assert (free["status_after"], free["cost_after_pico_usd"]) == ("priced", 0)


def test_an_amount_beyond_64_bits_changes_nothing() -> None:
    assert found(standing(interval_ms=24 * HOUR_MS), prices=GpuPriceBook([price("999999")])) == []


def test_other_organisations_and_regions_have_their_own_prices() -> None:
    prices = GpuPriceBook([price("4"), price("6", region="eu")])
    [change] = found(standing(), standing(region="eu"), prices=prices)
    assert (change["region"], change["cost_after_pico_usd"]) == ("eu", 6 * USD)
    [foreign] = changes(frame(standing(org="acme")), {"default": prices}).to_dicts()
    assert foreign["unpriced_reason_after"] == "model"


@given(
    st.lists(st.tuples(st.integers(1, HOUR_MS), st.sampled_from([1.0, 3 / 7, 0.125]), st.integers(0, 3)), min_size=1),
    st.integers(0, 10**13),
)
def test_a_correction_costs_what_the_reading_would_have_cost_when_it_came(
    readings: list[tuple[int, float, int]], hourly: int
) -> None:
    prices = [price(f"{hourly / USD:.12f}", start="2026-01-02"), price("0.000000000001", start="1970-01-01")]
    samples = [
        reading({"team": "search", "sm_share": 0.3}, interval_ms=interval, fraction=fraction,
                sampled_at=JANUARY + day * DAY)
        for interval, fraction, day in readings
    ]  # fmt: skip
    late = [rated(each, book(prices=[])) for each in samples]
    stands = frame(*(
        standing(status="unpriced", cost_pico_usd=0, interval_ms=each.sample.interval_ms, gpu_uuid=str(i),
                 sampled_at=each.sample.sampled_at, fraction=float(each.sample.fraction),
                 weight=[row.weight for row in each.rows])
        for i, each in enumerate(late)
    ))  # fmt: skip
    changed = changes(stands, {"default": GpuPriceBook(prices)})
    parts = split_columns(changed["cost_after_pico_usd"].to_numpy(), changed["weight"])
    corrected = dict(zip(changed["gpu_uuid"], parts.to_list(), strict=True))
    at_once = {
        str(i): [row.cost_pico_usd for row in rated(each, book(prices=prices)).rows] for i, each in enumerate(samples)
    }
    assert corrected == at_once


def test_slices_that_say_where_they_begin_add_up_to_the_device_after_a_correction_too() -> None:
    slices = [
        standing(gpu_uuid=str(i), fraction=1 / 7, fraction_from=i / 7, interval_ms=1_001, cost_pico_usd=0)
        for i in range(7)
    ]
    changed = found(*slices, prices=GpuPriceBook([price("4.321")]))
    whole = cost_pico_usd(4_321 * 10**9, 1_001)
    assert sum(change["cost_after_pico_usd"] for change in changed) == whole
    assert nearest(1 / 7) == Fraction(1, 7)


def test_a_summary_says_who_pays_what_before_and_after() -> None:
    changed = changes(frame(standing(), standing(sampled_at=JANUARY + 1)), {"default": GpuPriceBook([price("3")])})
    summary = GpuSummary()
    summary.add(changed)
    summary.add(changed.clear())
    assert summary.readings == 2
    told = [
        (row["team"], row["kind"], round(row["gpu_hours"], 9), row["before"], row["after"]) for row in summary.groups()
    ]
    assert told == [("", "idle", 1.5, 6 * USD, 6 * USD * 3 // 4), ("search", "used", 0.5, 2 * USD, 2 * USD * 3 // 4)]
