"""Catalogue prices against `genai_prices.calc_price`, to the pico-dollar."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.data_units import unit_data
from genai_prices.types import Usage

from spendstream.domain.prices import Catalogue, ModelPrice, PriceBook, PriceRevision, Rates
from tests.unit.domain.test_prices_reference import Bill, rate

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CATALOGUE = Catalogue()
BOOK = PriceBook.build([], CATALOGUE)
CONTEXTS = {
    "standard": ({},),
    "batch": ({"processing": "batch"},),
    **{name: ({"service_tier": name}, {"speed": name}) for name in ("flex", "priority", "fast", "default")},
}


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def random_request(chance: random.Random, provider: str, model: str) -> dict[str, Any]:
    def some(most: int, share: float) -> int:
        return chance.randrange(most) if chance.random() < share else 0

    cached = {
        "cache_read_tokens": some(90_000, 0.4),
        "cache_write_5m_tokens": some(9_000, 0.3),
        "cache_write_1h_tokens": some(9_000, 0.2),
        "audio_input_tokens": some(5_000, 0.2),
        "image_input_tokens": some(5_000, 0.2),
    }
    spoken = {"reasoning_tokens": some(9_000, 0.4), "audio_output_tokens": some(900, 0.2)}
    plain = chance.choice([0, 1, 1_000, 127_999, 128_001, 200_000, 272_000, 272_001, chance.randrange(10**6)])
    day = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(
        days=chance.choice([chance.randrange(1_200), 1_010 + chance.randrange(190)])
    )
    return {
        **{"provider": provider, "model": model, "convention": "inclusive"},
        **cached,
        **spoken,
        "service_tier": chance.choice(["standard"] * 9 + list(CONTEXTS)),
        "input_tokens": plain + sum(cached.values()),
        "output_tokens": chance.randrange(20_000) + sum(spoken.values()),
        "occurred_at": micros(day + timedelta(seconds=chance.choice([0, 1, chance.randrange(86_400)]))),
    }


def usage_of(row: dict[str, Any]) -> Usage:
    """The same request in the oracle's words; every class it knows is given, else it infers and refuses."""
    counts = dict.fromkeys((key for key in unit_data if key != "requests"), 0)
    same = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
    counts |= {name: row[name] for name in same}
    counts["cache_write_tokens"] = row["cache_write_5m_tokens"] + row["cache_write_1h_tokens"]
    counts["output_reasoning_tokens"] = row["reasoning_tokens"]
    counts["input_audio_tokens"] = row["audio_input_tokens"]
    counts["output_audio_tokens"] = row["audio_output_tokens"]
    counts["input_image_tokens"] = row["image_input_tokens"]
    return Usage(**counts)


def oracle(row: dict[str, Any]) -> tuple[Decimal, Any]:
    """Its price in pico-dollars and the price it used, or LookupError when it lists no such tier at that moment."""
    moment = EPOCH + timedelta(microseconds=row["occurred_at"])
    provider, model = get_snapshot().find_provider_model(row["model"], None, row["provider"], None)
    contexts = CONTEXTS[row["service_tier"]]
    if row["service_tier"] != "standard":
        own = model.price_variants or () if any(model is other for other in provider.models) else ()
        active = [v.when for v in own if v.constraint is None or v.constraint.active(moment)]
        contexts = tuple(context for context in contexts if context in active)
    if not contexts:
        raise LookupError(row["service_tier"])
    calculated = calc_price(
        usage_of(row),
        row["model"],
        provider_id=row["provider"],
        genai_request_timestamp=moment,
        price_context=contexts[0],
    )
    return calculated.total_price * 10**12, calculated.model_price


def check(row: dict[str, Any], bill: Bill, inexact: set[str]) -> str:
    try:
        expected, price = oracle(row)
    except LookupError:
        assert (bill.status, bill.unpriced_reason) == ("unpriced", "tier"), (row, bill)
        return "tier"
    keys = {key for key, value in vars(price).items() if value is not None}
    if not keys and bill.model.endswith(":free"):
        assert (bill.status, bill.cost_pico_usd, expected) == ("priced", 0, 0), (row, bill)
        return "free"
    unlisted = {side for side in ("input", "output") if row[f"{side}_tokens"] and f"{side}_mtok" not in keys}
    if bill.status == "unpriced":  # the oracle bills what has no price as nothing; we say so
        assert bill.unpriced_reason == "class", (row, bill)
        assert unlisted or not keys & {"input_mtok", "output_mtok", "requests_kcount"}, (row, bill)
        assert expected == 0, (row, bill)
        return "class"
    assert bill.status == ("partial" if unlisted else "priced"), (row, bill)
    if bill.price_id in inexact:
        tokens = row["input_tokens"] + row["output_tokens"] + 1
        assert abs(bill.cost_pico_usd - expected) <= Decimal(tokens) / 2, (row, bill)
        return "quantised"
    assert bill.cost_pico_usd == expected, (row, bill)
    if row["service_tier"] != "standard":
        return "exact tier"
    return "partial" if unlisted else "exact"


def test_thousands_of_requests_over_every_model_cost_what_the_oracle_says() -> None:
    chance = random.Random(20260301)
    inexact = {conflict.price_id for conflict in CATALOGUE.conflicts()}
    found = {name: CATALOGUE.resolve(*name) for name in CATALOGUE.models()}
    models = {name: resolved for name, resolved in found.items() if resolved}
    rows = [random_request(chance, *name) for name in models for _ in range(3)]
    dated = [name for name, resolved in models.items() if len(resolved.versions[0]) > 1]
    timed = [name for name, resolved in models.items() if len(resolved.day_starts) > 1]
    tiered = [
        name for name, resolved in models.items() if any(r.price.service_tiers for v in resolved.versions for r in v)
    ]
    lent = {"azure": ("openai", "anthropic"), "google": ("anthropic",)}  # sold by one under the other's price
    rows += [random_request(chance, seller, m) for seller in lent for p, m in models if p in lent[seller]]
    rows += [random_request(chance, *name) for name in dated * 6 + tiered * 10 + timed * 40]
    outcomes = Counter(check(row, bill, inexact) for row, bill in zip(rows, rate(BOOK, *rows), strict=True))
    assert outcomes["exact"] > 4_000
    assert outcomes["exact tier"] > 100
    assert min(outcomes[kind] for kind in ("tier", "class", "quantised", "partial", "free")) > 10


def test_what_the_oracle_finds_we_find_under_the_same_name_and_nothing_else() -> None:
    for provider, model in CATALOGUE.models():
        resolved = CATALOGUE.resolve(provider, model)
        try:
            theirs = get_snapshot().find_provider_model(model, None, provider, None)
        except LookupError:
            assert resolved is None
        else:
            assert resolved is not None
            assert (resolved.provider, resolved.model) == (theirs[0].id, theirs[1].id)


def test_an_off_peak_hour_costs_less_than_a_peak_one() -> None:
    request = {"provider": "deepseek", "model": "deepseek-chat", "input_tokens": 10**6}
    peak, off_peak, next_day = (
        rate(BOOK, {**request, "occurred_at": micros(datetime(2025, 6, 1, tzinfo=UTC) + timedelta(minutes=minutes))})[0]
        for minutes in (30, 29, 24 * 60 + 29)
    )
    assert peak.cost_pico_usd > off_peak.cost_pico_usd > 0
    assert next_day == off_peak


def test_names_are_resolved_as_the_catalogue_does_and_come_out_canonical() -> None:
    bill = rate(BOOK, {"provider": "OpenAI", "model": "GPT-4o-2024-08-06", "input_tokens": 1})[0]
    assert (bill.provider, bill.model, bill.status) == ("openai", "gpt-4o", "priced")


def test_a_model_nobody_lists_is_unpriced_not_free() -> None:
    for provider, model in (("openai", "no-such-model"), ("nobody", "gpt-4o"), ("", ""), ("litellm", "x/y")):
        bill = rate(BOOK, {"provider": provider, "model": model, "input_tokens": 1})[0]
        assert (bill.status, bill.unpriced_reason, bill.price_id) == ("unpriced", "model", "")
        assert (bill.provider, bill.model) == (provider, model)


def test_a_model_billed_by_the_hour_of_audio_is_unpriced_even_without_tokens() -> None:
    for tokens in (0, 5):
        bill = rate(BOOK, {"provider": "openai", "model": "whisper-1", "input_tokens": tokens})[0]
        assert (bill.status, bill.unpriced_reason) == ("unpriced", "class")


def test_a_model_the_catalogue_calls_free_costs_zero() -> None:
    bill = rate(BOOK, {"provider": "openrouter", "model": "bytedance-research/ui-tars-72b:free", "input_tokens": 9})[0]
    assert (bill.status, bill.cost_pico_usd) == ("priced", 0)


def test_prices_finer_than_a_pico_dollar_are_listed_with_what_they_became() -> None:
    conflicts = CATALOGUE.conflicts()
    assert conflicts
    for conflict in conflicts:
        assert abs(conflict.usd * 10**6 - conflict.pico_per_unit) <= Decimal("0.5")
        assert conflict.usd * 10**6 != conflict.pico_per_unit


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-2024-08-06"])
def test_documents_of_a_model_replace_the_catalogue_under_all_its_names(model: str) -> None:
    price = ModelPrice("openai", "gpt-4o", Rates({"input": 7}), effective_from=100)
    book = PriceBook.build([PriceRevision("ours", price)], CATALOGUE)
    request = {"provider": "openai", "model": model, "input_tokens": 2}
    before, after = rate(book, {**request, "occurred_at": 99}, {**request, "occurred_at": 100})
    assert (before.status, before.unpriced_reason) == ("unpriced", "date")
    assert (after.cost_pico_usd, after.price_id) == (14, "ours@1970-01-01T00:00:00.000100Z#1")


def test_asking_for_new_names_for_ever_does_not_grow_the_rate_table() -> None:
    book = PriceBook.build([], CATALOGUE)
    known = {"provider": "openai", "model": "gpt-4o", "input_tokens": 1}
    rate(book, *({**known, "region": f"r{i}"} for i in range(50)))
    rate(book, *({**known, "service_tier": f"t{i}"} for i in range(50)))
    rate(book, *({**known, "model": f"nothing-{i}"} for i in range(50)))
    assert len(book._resolver.lanes) == 3  # nobody's, gpt-4o's, and gpt-4o's for tiers it does not list
