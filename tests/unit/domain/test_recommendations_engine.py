"""What a team reads: a proposal with its arithmetic, once, revised when it matters, gone when its evidence is."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain.recommendations import RecommendationEngine
from spendstream.schemas import decode, encode
from tests.unit.domain.anomalies_support import DAY, HOUR, MINUTE, NOW, PRICES, START, USD, calls, deltas

USAGE = {
    "org": pl.String,
    "team": pl.String,
    "service": pl.String,
    "model": pl.String,
    "occurred_at": pl.Int64,
    "prompt_hash": pl.String,
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "cost_pico_usd": pl.Int64,
    "requests": pl.Int64,
    "cache_hit": pl.Boolean,
}


def list_price(provider: str, model: str, tokens: dict[str, int], requests: int) -> int | None:
    """The example prices of domain.md §3; nothing else has a price."""
    del provider, requests
    if model not in PRICES:
        return None
    price_in, price_out = PRICES[model]
    inputs = sum(n for bucket, n in tokens.items() if bucket.startswith("input_"))
    return inputs * price_in + (sum(tokens.values()) - inputs) * price_out


def days_of_calls(
    count: int, requests: int, tokens_in: int = 800, tokens_out: int = 120, since: int = START, **names: Any
) -> pl.DataFrame:
    """One minute of calls an hour."""
    hours = range(count * 24)
    return deltas(calls(since + h * HOUR, requests, tokens_in, tokens_out, **names) for h in hours)


def usage(prompts: list[str], since: int = START, every: int = MINUTE, **names: Any) -> pl.DataFrame:
    """One request of a cent per prompt hash."""
    row = {"org": "default", "team": "assistants", "service": "chat", "model": "claude-sonnet-4.6"} | {
        "input_tokens": 1_000,
        "output_tokens": 100,
        "cost_pico_usd": USD // 100,
        "requests": 1,
        "cache_hit": False,
    }
    rows = [row | {"occurred_at": since + i * every, "prompt_hash": p} | names for i, p in enumerate(prompts)]
    return pl.DataFrame(rows, schema=USAGE)


def engine() -> RecommendationEngine:
    return RecommendationEngine(list_price)


def test_short_calls_of_a_premium_model_are_offered_a_cheaper_one_with_the_arithmetic() -> None:
    running = engine()
    running.update(days_of_calls(4, 1_000))
    [record] = running.tick(NOW)
    # 96 000 calls: 76.8 M tokens in at $3 and 11.52 M out at $15 = $403.20; on Haiku at $1 / $5 = $134.40.
    assert record["kind"] == "model_downgrade"
    assert "cost $403.20" in record["explanation"]
    assert "The same tokens on anthropic/claude-haiku-4.5 cost $134.40" in record["explanation"]
    assert "× 43 200 / 5 701 minutes = $2,036.86 a month" in record["explanation"]
    until = START + 95 * HOUR + MINUTE
    whole = (403_200_000_000_000 - 134_400_000_000_000) * 30 * DAY // (until - START)
    assert record["monthly_saving_pico_usd"] == whole * 60 // 100
    assert (record["low_pico_usd"], record["high_pico_usd"]) == (whole * 30 // 100, whole * 90 // 100)
    assert record["target"]["model"] == "claude-sonnet-4.6"
    assert record["owner"] == "assistants"
    assert record["state"] == "open"


def test_a_recommendation_is_a_record_of_the_wire() -> None:
    running = engine()
    running.update(days_of_calls(4, 1_000))
    [record] = running.tick(NOW)
    name, decoded = decode(encode("Recommendation", record))
    assert (name, decoded["recommendation_id"]) == ("Recommendation", record["recommendation_id"])


@pytest.mark.parametrize(
    "rows",
    [
        days_of_calls(4, 1_000, tokens_in=8_000),
        days_of_calls(4, 1_000, tokens_out=2_000),
        days_of_calls(4, 1_000, model="claude-haiku-4.5"),
        days_of_calls(2, 10_000),
        days_of_calls(4, 1),
        days_of_calls(4, 1_000, grain="caller"),
    ],
    ids=["long input", "long output", "no cheaper candidate", "too few days", "too few requests", "caller rows"],
)
def test_without_a_case_nothing_is_said(rows: pl.DataFrame) -> None:
    running = engine()
    running.update(rows)
    assert running.tick(NOW) == []


def test_a_candidate_without_a_price_is_not_proposed() -> None:
    running = RecommendationEngine(lambda provider, model, tokens, requests: None)
    running.update(days_of_calls(4, 1_000))
    assert running.tick(NOW) == []


def test_the_same_evidence_says_nothing_twice_and_a_tenth_more_makes_a_revision() -> None:
    running = engine()
    running.update(days_of_calls(4, 1_000))
    [first] = running.tick(NOW)
    assert running.tick(NOW) == []
    running.update(deltas([calls(START + 4 * DAY - HOUR, 5_000, 800, 120)]))
    assert running.tick(NOW) == []
    running.update(deltas([calls(START + 4 * DAY - HOUR, 10_000, 800, 120)]))
    [second] = running.tick(NOW)
    assert second["recommendation_id"] == first["recommendation_id"]
    assert second["revision"] == 2
    assert second["first_seen_at"] == first["first_seen_at"]


def test_it_expires_when_its_traffic_has_left_the_window() -> None:
    running = engine()
    running.update(days_of_calls(4, 1_000))
    running.tick(NOW)
    running.update(deltas([calls(START + 30 * DAY, 1, 100, 10, service="other")]))
    [gone] = running.tick(NOW)
    assert (gone["state"], gone["revision"]) == ("expired", 2)


def test_what_an_operator_rejected_is_not_proposed_again() -> None:
    running = engine()
    running.update(days_of_calls(4, 1_000))
    [record] = running.tick(NOW)
    running.recall([{**record, "state": "rejected", "revision": 2}])
    running.update(days_of_calls(4, 9_000))
    assert running.tick(NOW) == []


def test_repeated_prompts_are_offered_a_cache_with_the_money_they_cost() -> None:
    running = engine()
    # Four days, a request a minute, every fourth one asks what was asked four minutes before.
    prompts = [f"p{i // 8}" if i % 4 == 0 else f"q{i}" for i in range(4 * 1440)]
    running.update_usage(usage(prompts))
    [record] = running.tick(NOW)
    assert record["kind"] == "exact_cache"
    assert record["evidence"]["requests"] == "5760"
    assert record["evidence"]["repeats"] == "720"
    assert record["evidence"]["repeat_cost_pico_usd"] == str(720 * USD // 100)
    assert "the repeats cost $7.20" in record["explanation"]
    assert record["effort"] == "low"


def test_a_repeat_after_more_than_a_day_or_from_elsewhere_is_none() -> None:
    running = engine()
    for day in (0, 2, 4):
        running.update_usage(usage([f"p{i}" for i in range(300)], START + day * DAY, cost_pico_usd=USD))
    running.update_usage(usage([f"p{i}" for i in range(300)], START + 4 * DAY, cost_pico_usd=USD, service="search"))
    assert running.tick(NOW) == []


def test_answers_a_cache_gave_already_are_no_saving() -> None:
    running = engine()
    running.update_usage(usage(["same"] * 5_760, cache_hit=True, cost_pico_usd=0))
    assert running.tick(NOW) == []


def test_beyond_its_capacity_the_prompt_table_samples_and_stays_near_the_truth() -> None:
    running = RecommendationEngine(list_price, prompt_capacity=1_000)
    prompts = [f"p{i // 2 * 2 + 7 * 1440}" if i % 4 < 2 else f"q{i}" for i in range(5 * 1440)]  # every fourth repeats
    running.update_usage(usage(prompts, cost_pico_usd=USD))
    [record] = running.tick(NOW)
    assert int(record["evidence"]["sampling"]) > 1
    assert int(record["evidence"]["repeats"]) == pytest.approx(1_800, rel=0.2)
    assert "estimated from one in" in record["explanation"]


def test_overlapping_savings_are_combined_in_sequence() -> None:
    running = engine()
    running.update(days_of_calls(4, 1_000))
    running.update_usage(usage([f"p{i // 2}" for i in range(4 * 1440)]))
    records = running.tick(NOW)
    assert {r["kind"] for r in records} == {"exact_cache", "model_downgrade"}
    until = START + 95 * HOUR + MINUTE
    bill = 403_200_000_000_000 * 30 * DAY / (until - START)
    # The cache answers 85 % of the $28.80 that repeat; of what is left 60 % moves to a third of the price.
    answered = 0.85 * 28_800_000_000_000 * 30 / 4
    left = (bill - answered) * (1 - 0.6 * 2 / 3)
    assert running.combined_monthly_saving("default") == pytest.approx(bill - left, rel=1e-9)
    assert running.combined_monthly_saving("elsewhere") == 0


def test_the_evidence_query_quotes_what_people_put_in_names() -> None:
    running = engine()
    running.update(days_of_calls(4, 1_000, service="it's a \\ trap"))
    [record] = running.tick(NOW)
    assert "service = 'it\\'s a \\\\ trap'" in record["evidence_query"]


ROWS = pl.concat([days_of_calls(4, 1_000), days_of_calls(4, 2_000, model="gpt-5.5", provider="openai")]).sort("minute")
ASKED = usage([f"p{i // 3 % 700}" for i in range(4 * 1440)], cost_pico_usd=USD)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(ROWS)), max_size=6), st.lists(st.integers(0, len(ASKED)), max_size=6), st.booleans())
def test_neither_batches_nor_a_snapshot_change_what_is_said(first: list[int], second: list[int], saved: bool) -> None:
    at_once, in_parts = (
        RecommendationEngine(list_price, prompt_capacity=300),
        RecommendationEngine(list_price, prompt_capacity=300),
    )
    at_once.update(ROWS)
    at_once.update_usage(ASKED)
    for start, end in zip([0, *sorted(first)], [*sorted(first), len(ROWS)], strict=True):
        in_parts.update(ROWS[start:end])
    if saved:
        state = json.loads(json.dumps(in_parts.snapshot()))
        in_parts = RecommendationEngine(list_price, prompt_capacity=300)
        in_parts.restore(state)
    for start, end in zip([0, *sorted(second)], [*sorted(second), len(ASKED)], strict=True):
        in_parts.update_usage(ASKED[start:end])
    if saved:
        state = json.loads(json.dumps(in_parts.snapshot()))
        in_parts = RecommendationEngine(list_price, prompt_capacity=300)
        in_parts.restore(state)
    said = at_once.tick(NOW)
    assert len(said) == 3
    assert in_parts.tick(NOW) == said


def test_after_a_crash_nothing_published_is_repeated() -> None:
    running, again = engine(), engine()
    running.update(days_of_calls(4, 1_000))
    again.recall(decode(encode("Recommendation", r))[1] for r in running.tick(NOW))
    again.update(days_of_calls(4, 1_000))
    assert again.tick(NOW) == []
