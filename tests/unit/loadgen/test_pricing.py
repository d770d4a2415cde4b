"""The truth's arithmetic against examples worked by hand (domain.md) and against the public catalogue."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.price_file import PriceFileError, half_even, load_documents
from loadgen.pricing import BUCKETS, Book, Rejected, buckets_of
from loadgen.wire import defaults

USD = 10**12
MARCH_2026 = 1_772_442_000_000_000
MILLION = {"input": Decimal("5.00"), "output": Decimal("30.00"), "cache_read": Decimal("0.50")}


def event(**fields):
    base = {"provider": "openai", "model": "gpt-5.5", "occurred_at": MARCH_2026}
    return {**defaults(), **base, **fields}


def document(**spec):
    base = {
        "provider": "openai",
        "model": "gpt-5.5",
        "effective_from": "2026-01-01T00:00:00Z",
        "usd_per_million_tokens": MILLION,
    }
    return {"kind": "Price", "name": "openai/gpt-5.5", "spec": {**base, **spec}}


def bill(record, *documents):
    return Book(documents or [document()]).price(record, buckets_of(record))


def test_2000_in_and_500_out_on_gpt_5_5_cost_two_and_a_half_cents():
    assert bill(event(input_tokens=2_000, output_tokens=500)) == (USD * 25 // 1_000, "priced")


def test_an_alias_and_a_name_of_the_catalogue_are_billed_as_their_model():
    book = Book([document(aliases=["five-five"])])
    assert book.model_of(event(model="five-five")) == ("openai", "gpt-5.5")
    assert book.price(event(model="five-five", input_tokens=1), buckets_of(event(input_tokens=1)))[1] == "priced"
    assert book.model_of(event(model="gpt-4o-2024-08-06")) == ("openai", "gpt-4o")
    assert book.model_of(event(provider="ours", model="own")) == ("ours", "own")


def test_fifty_thousand_answers_of_15000_tokens_at_15_dollars_cost_11250_dollars():
    sonnet = document(usd_per_million_tokens={"input": 3, "output": 15})
    cost, _ = bill(event(output_tokens=15_000), sonnet)
    assert 50_000 * cost == 11_250 * USD


def test_two_million_requests_of_2000_in_and_1000_out_cost_80000_dollars():
    cost, _ = bill(event(input_tokens=2_000, output_tokens=1_000))
    assert 2_000_000 * cost == 80_000 * USD


def test_22_cents_a_million_is_220000_pico_a_token():
    llama = document(usd_per_million_tokens={"input": Decimal("0.22"), "output": Decimal("0.85")})
    assert bill(event(input_tokens=1), llama) == (220_000, "priced")


def test_inclusive_and_disjoint_reports_of_one_call_cost_the_same():
    inclusive = event(input_tokens=9_200, cache_read_tokens=8_000, output_tokens=300, reasoning_tokens=100)
    disjoint = event(
        input_tokens=1_200, cache_read_tokens=8_000, output_tokens=200, reasoning_tokens=100, convention="disjoint"
    )
    assert buckets_of(inclusive) == buckets_of(disjoint)
    assert bill(inclusive) == bill(disjoint) == (1_200 * 5_000_000 + 8_000 * 500_000 + 300 * 30_000_000, "priced")


def test_a_context_tier_replaces_what_it_lists_before_the_fallbacks():
    tier = {"above_input_tokens": 1_000, "usd_per_million_tokens": {"input": 10, "output": 45}}
    prices = document(context_tiers=[tier])
    at, above = event(input_tokens=1_000), event(input_tokens=1_001, cache_write_1h_tokens=1, cache_read_tokens=1)
    assert bill(at, prices)[0] == 1_000 * 5_000_000
    assert bill(above, prices)[0] == 999 * 10_000_000 + 10_000_000 + 500_000
    assert bill(event(input_tokens=2_000, requests=2), prices)[0] == 2_000 * 5_000_000


def test_tier_discount_and_margin_multiply_and_the_row_is_rounded_once():
    prices = document(
        usd_per_million_tokens={"input": Decimal("0.000001")},
        service_tiers={"batch": {"multiplier": Decimal("0.5")}},
        discount=Decimal("0.1"),
        margin=Decimal("0.2"),
    )
    cost, _ = bill(event(input_tokens=7, service_tier="batch"), prices)
    assert cost == round(Fraction(7) * Fraction(1, 2) * Fraction(9, 10) * Fraction(6, 5))


def test_a_tier_the_price_does_not_list_is_unpriced():
    assert bill(event(input_tokens=5, service_tier="flex")) == (0, "unpriced")


def test_a_class_without_a_price_makes_the_row_partial():
    assert bill(event(input_tokens=100, image_input_tokens=40)) == (60 * 5_000_000, "partial")
    assert bill(event(input_tokens=40, image_input_tokens=40)) == (0, "partial")


def test_a_gateway_cache_hit_costs_nothing():
    assert bill(event(input_tokens=2_000, output_tokens=500, cache_hit=True)) == (0, "priced")


@pytest.mark.parametrize(
    ("moment", "cost"),
    [
        (1_767_225_600_000_000 - 1, 0),
        (1_767_225_600_000_000, 5),
        (1_769_904_000_000_000 - 1, 5),
        (1_769_904_000_000_000, 7),
    ],
)
def test_a_price_is_in_force_from_its_start_to_the_next_ones(moment, cost):
    february = document(effective_from="2026-02-01T00:00:00Z", usd_per_million_tokens={"input": 7})
    record = event(input_tokens=1, occurred_at=moment)
    assert bill(record, document(), february) == (cost * 1_000_000, "priced" if cost else "unpriced")


def test_a_later_revision_of_the_same_start_replaces_the_earlier():
    changed = document(usd_per_million_tokens={"input": 6})
    assert bill(event(input_tokens=1), document(), changed)[0] == 6_000_000


@given(st.integers(0, 500_000), st.integers(0, 100_000))
def test_models_without_a_document_cost_what_the_catalogue_says(fresh, out):
    cost, status = bill(event(model="gpt-4.1", input_tokens=fresh, output_tokens=out))
    assert (cost, status) == (fresh * 2_000_000 + out * 8_000_000, "priced")


@given(st.integers(0, 100_000), st.integers(0, 100_000), st.integers(0, 100_000), st.integers(0, 10_000))
def test_the_catalogues_cache_prices_are_asked_with_the_classes_apart(fresh, read, written, out):
    haiku = {"provider": "anthropic", "model": "claude-haiku-4.5", "convention": "disjoint"}
    counts = {"input_tokens": fresh, "cache_read_tokens": read, "cache_write_5m_tokens": written, "output_tokens": out}
    expected = fresh * 1_000_000 + read * 100_000 + written * 1_250_000 + out * 5_000_000
    assert bill(event(**haiku, **counts)) == (expected, "priced")


def test_a_model_nobody_prices_is_unpriced():
    assert bill(event(provider="mystery", model="unlisted-1", input_tokens=5)) == (0, "unpriced")


@given(st.fixed_dictionaries({name: st.integers(0, 10**6) for name in (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "image_input_tokens")}))  # fmt: skip
def test_inclusive_buckets_add_up_to_the_reported_totals_or_are_refused(counts):
    try:
        buckets = dict(zip(BUCKETS, buckets_of(event(**counts)), strict=True))
    except Rejected as refused:
        cached = counts["cache_read_tokens"] + counts["cache_write_5m_tokens"] + counts["cache_write_1h_tokens"]
        assert str(refused) == "negative_bucket"
        parts = max(cached, counts["image_input_tokens"])
        assert parts > counts["input_tokens"] or counts["reasoning_tokens"] > counts["output_tokens"]
        return
    assert min(buckets.values()) >= 0
    assert sum(v for k, v in buckets.items() if k.startswith("input")) == counts["input_tokens"]
    assert sum(v for k, v in buckets.items() if k.startswith("output")) == counts["output_tokens"]


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_rounding_is_half_even(numerator, denominator):
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


def test_yaml_prices_are_read_as_decimals(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("kind: Price\nspec: {usd_per_million_tokens: {input: 0.1}}\n")
    [found] = load_documents(path)
    assert found["spec"]["usd_per_million_tokens"]["input"] == Decimal("0.1")


def test_a_price_field_the_truth_does_not_know_is_refused_by_name():
    with pytest.raises(PriceFileError, match=r"document 1 \(openai/gpt-5.5\): surcharge"):
        Book([document(surcharge=1)])
