"""A card gives back the amount the book billed: for documents and the catalogue, tiers and contexts, to the pico."""

import random
from fractions import Fraction

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.prices import (
    Catalogue,
    ContextTier,
    ModelPrice,
    PriceBook,
    PriceRevision,
    RateCard,
    Rates,
    ServiceTier,
)
from spendstream.domain.tokens import BUCKETS, normalise
from tests.unit.domain.test_prices_catalogue import random_request
from tests.unit.domain.test_prices_reference import frame

CATALOGUE = Catalogue()


def billed(card: RateCard, tokens: dict[str, int], requests: int) -> int:
    """Round once, half-even: Σ tokens × pico + requests × fee, × factor."""
    total = sum(tokens[name] for name in BUCKETS if name.startswith("input"))
    row = sum(-(-total // max(requests, 1)) > above for above in card.above)
    prices = card.pico_per_token[row]
    whole = sum(tokens[name] * (pico or 0) for name, pico in zip(BUCKETS, prices, strict=True))
    return round((whole + requests * card.pico_per_request) * card.billed_factor)


def check(book: PriceBook, usage: pl.DataFrame) -> int:
    """How many priced rows the cards explain; every one must."""
    normalised = normalise(usage)
    rated = book.rate(usage, normalised)
    ids, tiers = rated.price_id.series("p").to_list(), rated.tier.series("t").to_list()
    explained = 0
    for i, (price_id, tier) in enumerate(zip(ids, tiers, strict=True)):
        if not price_id:
            continue
        card = book.card(price_id, tier)
        assert card is not None, price_id
        tokens = {name: int(normalised.buckets[name][i]) for name in BUCKETS}
        assert billed(card, tokens, int(normalised.requests[i])) == rated.cost_pico_usd[i], (price_id, tier)
        explained += 1
    return explained


def test_every_catalogue_price_is_found_again_by_its_id() -> None:
    chance = random.Random(5)
    models = chance.sample(list(CATALOGUE.models()), 250)
    rows = [random_request(chance, *model) for model in models for _ in range(4)]
    assert check(PriceBook.build([], CATALOGUE), frame(rows)) > 400


counts = st.integers(0, 10**6)
ratios = st.fractions(0, 1, max_denominator=1000)


@given(
    st.lists(st.tuples(counts, counts, counts, st.integers(1, 5), st.sampled_from(["standard", "batch"])), min_size=1),
    ratios, ratios, ratios,
)  # fmt: skip
def test_discount_margin_tier_context_and_fee_are_on_the_card(
    calls: list[tuple[int, int, int, int, str]], multiplier: Fraction, discount: Fraction, margin: Fraction
) -> None:
    rates = Rates({"input": 1_750_001, "output": 9}, (ContextTier(200_000, {"input": 3}),), pico_per_request=77)
    tiers = {"batch": ServiceTier(multiplier)}
    price = ModelPrice("p", "m", rates, service_tiers=tiers, discount=discount, margin=margin)
    book = PriceBook.build([PriceRevision("p/m", price)], None)
    rows = [
        {"provider": "p", "model": "m", "convention": "disjoint", "occurred_at": 0, "service_tier": tier,
         "input_tokens": fresh, "cache_read_tokens": read, "output_tokens": out, "requests": requests}
        for fresh, read, out, requests, tier in calls
    ]  # fmt: skip
    assert check(book, frame(rows)) == len(rows)
    card = book.card("p/m@always#1", "batch")
    assert card is not None
    assert card.contracted_factor == card.list_factor * (1 - discount)
    assert card.billed_factor == card.contracted_factor * (1 + margin)
    assert book.card("p/m@always#1", "flex") is None
    assert book.card("p/m@always#2", "batch") is None
