"""The payloads behind the field's known wrong bills, priced from the example catalogue: dollars worked out by hand."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spendstream.control.files import read_file
from spendstream.domain.money import usd_from_pico
from spendstream.domain.payloads import Adapted, adapt
from spendstream.domain.payloads.anthropic import requests_at_least
from spendstream.domain.prices import PRICED, ModelPrice, PriceBook, PriceRevision, parse_price
from spendstream.domain.tokens import REPORTED, normalise

CATALOGUE = Path(__file__).parents[3] / "examples" / "prices.yaml"
MARCH = 1_774_951_200_000_000


@pytest.fixture(scope="module")
def book() -> PriceBook:
    documents, problems = read_file(CATALOGUE)
    assert not problems
    prices = [(document.name, parse_price(document.spec).price) for document in documents]
    return PriceBook.build([PriceRevision(n, p, 1, 0) for n, p in prices if isinstance(p, ModelPrice)], None)


def usd(book: PriceBook, payload: dict[str, Any], **said: Any) -> Decimal:
    """What a payload costs; it must be priced in full."""
    adapted = adapt(payload, said=said)
    assert isinstance(adapted, Adapted), adapted
    row = {
        **dict.fromkeys(REPORTED, 0), "requests": 1, "cache_hit": False, "occurred_at": MARCH,
        "service_tier": None, "region": None, **adapted.fields,
    }  # fmt: skip
    usage = pl.DataFrame([row], schema_overrides={"service_tier": pl.String, "region": pl.String})
    rated = book.rate(usage, normalise(usage))
    assert rated.status[0] == PRICED
    return usd_from_pico(int(rated.cost_pico_usd[0]))


def chat(model: str = "gpt-5.5", **usage: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "model": model, "usage": usage}


def message(model: str = "claude-opus-4-8", **usage: Any) -> dict[str, Any]:
    return {"type": "message", "model": model, "usage": usage}


def test_cached_tokens_are_not_billed_twice(book: PriceBook) -> None:
    cached = chat(prompt_tokens=2_006, completion_tokens=300, prompt_tokens_details={"cached_tokens": 1_920})
    assert usd(book, cached) == Decimal("0.01039")  # 86 × 5 + 1 920 × 0.5 + 300 × 30


def test_reasoning_alone_is_billed_as_output_once(book: PriceBook) -> None:
    thought = chat(prompt_tokens=75, completion_tokens=1_186, completion_tokens_details={"reasoning_tokens": 1_186})
    assert usd(book, thought) == Decimal("0.035955")  # 75 × 5 + 1 186 × 30


def test_zero_fresh_input_with_cache_reads_is_not_free(book: PriceBook) -> None:
    warm = message(input_tokens=0, cache_read_input_tokens=18_344, output_tokens=12)
    assert usd(book, warm) == Decimal("0.009472")  # 18 344 × 0.5 + 12 × 25


def test_cached_input_counts_towards_the_context_tier(book: PriceBook) -> None:
    below = chat(prompt_tokens=272_000, completion_tokens=1_000, prompt_tokens_details={"cached_tokens": 40_000})
    above = chat(prompt_tokens=300_000, completion_tokens=1_000, prompt_tokens_details={"cached_tokens": 40_000})
    assert usd(book, below) == Decimal("1.21")  # 232 000 × 5 + 40 000 × 0.5 + 1 000 × 30
    assert usd(book, above) == Decimal("2.665")  # 260 000 × 10 + 40 000 × 0.5 + 1 000 × 45


def test_writes_for_an_hour_cost_their_own_price(book: PriceBook) -> None:
    parts = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 20_000}
    hour = message(input_tokens=3, cache_creation_input_tokens=20_000, cache_creation=parts, output_tokens=10)
    assert usd(book, hour) == Decimal("0.200265")  # 3 × 5 + 20 000 × 10 + 10 × 25


def test_a_batch_line_costs_half(book: PriceBook) -> None:
    line = {"result": {"type": "succeeded", "message": message(input_tokens=1_000, output_tokens=1_000)}}
    assert usd(book, line) == Decimal("0.015")  # (1 000 × 5 + 1 000 × 25) / 2


def test_a_day_of_requests_in_one_row_is_not_one_long_request(book: PriceBook) -> None:
    day = {"start_time": 1_774_915_200, "model": "gpt-5.5", "num_model_requests": 100, "input_tokens": 1_000_000,
           "output_tokens": 0}  # fmt: skip
    assert usd(book, day) == Decimal(5)


@pytest.mark.parametrize(
    ("tokens", "window", "requests"),
    [(0, None, 1), (200_000, "0-200k", 1), (200_001, "0-200k", 2), (200_001, "200k-1M", 1), (1_000_001, "200k-1M", 2),
     (200_001, "≤ 200k", 2), (1_000_001, "> 200k - 1M", 2)],
)  # fmt: skip
def test_a_report_without_requests_stands_for_the_fewest_that_fit_its_window(
    tokens: int, window: str | None, requests: int
) -> None:
    assert requests_at_least(tokens, window) == requests
