"""The book, by example: the worked figures of the domain and each rule of the order of pricing."""

from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from spendstream.domain.prices import ALWAYS, ContextTier, ModelPrice, PriceBook, PriceRevision, Rates, ServiceTier
from spendstream.domain.tokens import normalise
from tests.unit.domain.test_prices_reference import Bill, frame, rate

USD = 10**12


def book(*prices: ModelPrice) -> PriceBook:
    """Each price a document of its own, known one after the other."""
    return PriceBook.build([PriceRevision(f"d{i}", price, 1, i) for i, price in enumerate(prices)], None)


def price(per_token: dict[str, int], tiers: tuple[ContextTier, ...] = (), fee: int = 0, **fields: Any) -> ModelPrice:
    return ModelPrice("p", "m", Rates(per_token, tiers, fee), **{"effective_from": 0, **fields})


def bill(one: ModelPrice, **row: Any) -> Bill:
    return rate(book(one), row)[0]


GPT_5_5 = {"input": 5_000_000, "output": 30_000_000}


def test_gpt_5_5_two_thousand_in_and_five_hundred_out_is_two_and_a_half_cents() -> None:
    assert bill(price(GPT_5_5), input_tokens=2_000, output_tokens=500).cost_pico_usd == 25 * USD // 1_000


def test_a_million_of_them_a_day_is_25_000_dollars() -> None:
    million = {"input_tokens": 2_000 * 10**6, "output_tokens": 500 * 10**6, "requests": 10**6}
    assert bill(price(GPT_5_5), **million).cost_pico_usd == 25_000 * USD


def test_the_nightly_incident_costs_11_250_dollars_instead_of_375() -> None:
    at_15 = price({"output": 15_000_000})
    assert bill(at_15, output_tokens=50_000 * 500, requests=50_000).cost_pico_usd == 375 * USD
    assert bill(at_15, output_tokens=50_000 * 15_000, requests=50_000).cost_pico_usd == 11_250 * USD


def test_two_million_requests_a_day_are_80_000_dollars() -> None:
    day = {"input_tokens": 4 * 10**9, "output_tokens": 2 * 10**9, "requests": 2 * 10**6}
    assert bill(price(GPT_5_5), **day).cost_pico_usd == 80_000 * USD


@pytest.mark.parametrize(("tokens", "requests", "cost"), [(10, 1, 20), (11, 1, 33), (20, 2, 40), (21, 2, 63)])
def test_a_context_tier_starts_above_its_threshold_per_request(tokens: int, requests: int, cost: int) -> None:
    tiered = price({"input": 2}, (ContextTier(10, {"input": 3}),))
    assert bill(tiered, input_tokens=tokens, requests=requests).cost_pico_usd == cost


def test_cached_tokens_count_towards_the_context_tier() -> None:
    tiered = price({"input": 2, "cache_read": 1}, (ContextTier(10, {"input": 3}),))
    assert bill(tiered, input_tokens=6, cache_read_tokens=5).cost_pico_usd == 6 * 3 + 5


def test_the_highest_tier_exceeded_replaces_only_what_it_lists() -> None:
    tiered = price(
        {"input": 2, "output": 7}, (ContextTier(10, {"input": 3, "output": 8}), ContextTier(20, {"input": 4}))
    )
    assert bill(tiered, input_tokens=21, output_tokens=1).cost_pico_usd == 21 * 4 + 7


def test_fallbacks_come_after_the_tier_and_one_hour_writes_fall_through_five_minutes() -> None:
    tiered = price({"input": 2}, (ContextTier(10, {"input": 3}),))
    assert bill(tiered, cache_read_tokens=5, cache_write_5m_tokens=5, cache_write_1h_tokens=5).cost_pico_usd == 45
    assert bill(price({"input": 2, "cache_write_5m": 9}), cache_write_1h_tokens=1).cost_pico_usd == 9
    assert bill(price({"output": 7}), reasoning_tokens=2).cost_pico_usd == 14


def test_a_class_without_a_price_makes_the_row_partial_and_its_priced_classes_are_billed() -> None:
    row = bill(price({"input": 2, "output": 7}), input_tokens=3, audio_input_tokens=1)
    assert (row.status, row.unpriced_reason, row.cost_pico_usd, row.price_id) == (
        *("partial", "class", 6),
        "d0@1970-01-01T00:00:00Z#1",
    )


def test_a_row_of_nothing_but_a_class_without_a_price_is_partial_too() -> None:
    row = bill(price({"output": 7}), input_tokens=3)
    assert (row.status, row.unpriced_reason, row.cost_pico_usd) == ("partial", "class", 0)
    assert bill(price({"output": 7}, fee=5), input_tokens=3).cost_pico_usd == 5
    assert bill(price({"output": 7})).status == "priced"  # no tokens, nothing to price


def test_a_tier_the_price_does_not_list_is_unpriced_and_never_priced_as_standard() -> None:
    one = price({"input": 2}, service_tiers={"batch": ServiceTier(Fraction(1, 2))})
    rows = [{"input_tokens": 10, "service_tier": tier} for tier in ("batch", "standard", None, "flex")]
    found = rate(book(one), *rows)
    assert [row.cost_pico_usd for row in found] == [10, 20, 20, 0]
    assert [row.tier for row in found] == ["batch", "standard", "standard", "flex"]
    assert (found[3].status, found[3].unpriced_reason) == ("unpriced", "tier")


def test_a_price_is_in_force_from_its_start_to_before_the_next_or_its_end() -> None:
    prices = book(price({"input": 1}, effective_from=10), price({"input": 2}, effective_from=20, effective_to=30))
    found = rate(prices, *({"input_tokens": 1, "occurred_at": moment} for moment in (9, 10, 19, 20, 29, 30)))
    assert [row.cost_pico_usd for row in found] == [0, 1, 1, 2, 2, 0]
    assert [row.unpriced_reason for row in found] == ["date", "", "", "", "", "date"]


def test_a_later_revision_of_the_same_identity_wins_and_its_number_is_on_the_row() -> None:
    revisions = [PriceRevision("d", price({"input": n}), n, known_at=n) for n in (3, 1, 2)]
    row = rate(PriceBook.build(revisions, None), {"input_tokens": 1})[0]
    assert (row.cost_pico_usd, row.price_id) == (3, "d@1970-01-01T00:00:00Z#3")


def test_a_revision_that_moves_to_another_model_leaves_nothing_behind() -> None:
    moved = ModelPrice("p", "n", Rates({"input": 2}), effective_from=0)
    prices = PriceBook.build([PriceRevision("d", price({"input": 1}), 1, 1), PriceRevision("d", moved, 2, 2)], None)
    assert rate(prices, {"input_tokens": 1})[0].unpriced_reason == "model"


def test_a_price_for_the_region_wins_in_its_region_while_in_force() -> None:
    prices = book(price({"input": 1}), price({"input": 2}, region="eu", effective_from=5, effective_to=9))
    rows = [{"input_tokens": 1, "region": r, "occurred_at": t} for r, t in (("eu", 4), ("eu", 5), ("eu", 9), ("us", 5))]
    assert [row.cost_pico_usd for row in rate(prices, *rows)] == [1, 2, 1, 1]


def test_only_other_regions_priced_is_unpriced_for_that_reason() -> None:
    assert bill(price({"input": 2}, region="eu"), input_tokens=1, region="us").unpriced_reason == "region"


def test_an_alias_comes_out_as_its_model() -> None:
    row = bill(price({"input": 1}, aliases=("m-2026",)), model="m-2026", input_tokens=4)
    assert (row.model, row.cost_pico_usd) == ("m", 4)


def test_a_gateway_cache_hit_costs_nothing_whatever_its_price() -> None:
    for row in ({"model": "unknown"}, {"service_tier": "warp"}, {}):
        hit = bill(price({"input": 2}), **row, input_tokens=5, cache_hit=True)
        assert (hit.status, hit.unpriced_reason, hit.cost_pico_usd) == ("priced", "", 0)


@pytest.mark.parametrize(("tokens", "cost"), [(1, 0), (3, 2), (5, 2), (7, 4), (4, 2)])
def test_the_row_is_rounded_once_half_to_even(tokens: int, cost: int) -> None:
    assert bill(price({"input": 1}, discount=Fraction(1, 2)), input_tokens=tokens).cost_pico_usd == cost


def test_tier_discount_and_margin_are_applied_before_the_one_rounding() -> None:
    factors = {
        "discount": Fraction(1, 3),
        "margin": Fraction(1, 2),
        "service_tiers": {"batch": ServiceTier(Fraction(1, 7))},
    }
    row = bill(price({"input": 1}, fee=4, **factors), input_tokens=3, service_tier="batch")
    assert row.cost_pico_usd == 1  # 7 / 7, where rounding after each step would lose it


def test_the_largest_amount_that_fits_is_billed_and_the_next_is_rejected() -> None:
    most = 2**63 - 1
    rows = [{"input_tokens": n, "output_tokens": 1} for n in (9, 9, 10)]
    per_nine = price({"input": 10**18, "output": most - 9 * 10**18})
    found = rate(book(per_nine), *rows)
    assert [row.cost_pico_usd for row in found] == [most, most, 0]
    assert (found[2].status, found[2].reject_reason) == ("rejected", "amount_overflow")
    over = price({"input": 10**18, "output": most - 9 * 10**18 + 1})
    assert rate(book(over), rows[0])[0].reject_reason == "amount_overflow"


def test_an_amount_too_large_before_its_discount_is_billed_when_it_fits_after() -> None:
    row = bill(price({"input": 10**18}, discount=Fraction(9, 10)), input_tokens=90)
    assert row.cost_pico_usd == 9 * 10**18


def test_a_cache_hit_is_never_too_large() -> None:
    assert bill(price({"input": 10**18}), input_tokens=10**12, cache_hit=True).status == "priced"


def test_a_batch_of_nothing_rates_to_nothing() -> None:
    assert frame([]).is_empty()
    assert rate(book(price({"input": 1}))) == []


def test_a_price_without_a_beginning_covers_the_earliest_moment_there_is() -> None:
    assert bill(price({"input": 1}, effective_from=ALWAYS), input_tokens=1, occurred_at=-(2**63)).status == "priced"
    assert bill(price({"input": 1}), input_tokens=1, occurred_at=-(2**63)).unpriced_reason == "date"


def test_occurred_at_may_be_a_timestamp_of_any_precision() -> None:
    usage = frame([{"input_tokens": 1, "occurred_at": 10_000}, {"input_tokens": 1, "occurred_at": 9_000}])
    prices = book(price({"input": 1}, effective_from=10_000))
    for unit in ("ms", "us", "ns"):
        moments = usage["occurred_at"].cast(pl.Datetime("us", "UTC")).dt.cast_time_unit(unit)
        timed = usage.with_columns(moments)
        assert prices.rate(timed, normalise(timed)).cost_pico_usd.tolist() == [1, 0]
