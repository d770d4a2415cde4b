"""Own prices beside published ones: what is compared, at which moment, after which discount."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from spendstream.domain.prices import Catalogue, ContextTier, FxRate, FxRates, ModelPrice, PriceRevision, Rates
from spendstream.domain.prices.diff import PriceDifference, compare

NOW = 1_790_000_000_000_000
LISTED = {"input": 2_500_000, "cache_read": 1_250_000, "output": 10_000_000}  # openai/gpt-4o


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


def own(per_token: dict[str, int], tiers: tuple[ContextTier, ...] = (), **fields: Any) -> PriceRevision:
    name = {"provider": "openai", "model": "gpt-4o", "effective_from": 0, **fields}
    return PriceRevision("doc", ModelPrice(rates=Rates(per_token, tiers, fields.pop("fee", 0)), **name))


def by_class(found: list[PriceDifference], above: int = 0) -> dict[str, str]:
    return {each.price_class: each.state for each in found if each.above_input_tokens == above}


def test_equal_prices_are_the_same_and_missing_classes_are_named(catalogue: Catalogue) -> None:
    states = by_class(compare([own(LISTED)], catalogue, NOW))
    assert states["input"] == states["cache_read"] == states["output"] == states["reasoning"] == "same"
    assert states["image_input"] == "published only"  # usage of it would be `partial`


def test_a_class_without_a_price_is_compared_at_what_it_falls_back_to(catalogue: Catalogue) -> None:
    [cache] = [
        each for each in compare([own({"input": 2_500_000})], catalogue, NOW) if each.price_class == "cache_read"
    ]
    assert (cache.state, cache.own, cache.listed, cache.change) == ("dearer", 2_500_000, 1_250_000, Fraction(1))


def test_discount_margin_and_exchange_are_in_the_comparison(catalogue: Catalogue) -> None:
    cheaper = own(LISTED, discount=Fraction(1, 5), margin=Fraction(1, 10), currency="EUR")
    fx = FxRates([FxRate("EUR", date(2026, 1, 1), Decimal("1.25"))])
    [first, *_] = compare([cheaper], catalogue, NOW, fx)
    assert first.own == Fraction(2_500_000) * Fraction(4, 5) * Fraction(11, 10) * Fraction(5, 4)
    assert first.own_price_id.endswith("EUR@2026-01-01=1.25")


def test_context_thresholds_of_either_side_are_compared(catalogue: Catalogue) -> None:
    found = compare([own(LISTED, (ContextTier(1_000, {"input": 1}),))], catalogue, NOW)
    assert by_class(found, 1_000)["input"] == "cheaper"
    assert by_class(found, 1_000)["output"] == "same"


def test_only_what_is_in_force_at_the_moment_is_compared(catalogue: Catalogue) -> None:
    later = own({"input": 9}, effective_from=NOW + 1)
    assert compare([later], catalogue, NOW) == []
    assert compare([later], catalogue, NOW + 1)[0].own == 9


def test_a_model_nobody_publishes_is_own_only(catalogue: Catalogue) -> None:
    found = compare([own({"input": 1}, provider="ours", model="own")], catalogue, NOW)
    assert set(by_class(found).values()) == {"own only"}
