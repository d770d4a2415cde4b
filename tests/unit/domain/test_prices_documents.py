"""`Price` documents: what the example says is what is parsed, and everything that is wrong is said at once."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.prices import (
    CLASSES,
    ContextTier,
    GpuPrice,
    ModelPrice,
    ServiceTier,
    check_change,
    parse_price,
)

NEW_YEAR = 1_767_225_600_000_000
EXAMPLES = Path(__file__).parents[3] / "examples" / "prices.yaml"


def spec(**fields: Any) -> dict[str, Any]:
    base = {
        "provider": "openai",
        "model": "gpt-5.5",
        "effective_from": "2026-01-01T00:00:00Z",
        "usd_per_million_tokens": {"input": Decimal("5.00"), "output": "30.00"},
    }
    return {name: value for name, value in (base | fields).items() if value is not ...}


def price(**fields: Any) -> ModelPrice:
    parsed = parse_price(spec(**fields))
    assert isinstance(parsed.price, ModelPrice), parsed.errors
    return parsed.price


def test_a_full_document_is_read_field_by_field() -> None:
    read = price(
        aliases=["gpt-5.5-2026-02-01"],
        region="eu",
        effective_to=datetime(2026, 1, 2, tzinfo=UTC),
        context_tiers=[
            {"above_input_tokens": 500, "usd_per_million_tokens": {"input": 20}},
            {"above_input_tokens": 272, "usd_per_million_tokens": {"input": 10, "output": "45"}},
        ],
        service_tiers={"batch": {"multiplier": Decimal("0.5")}},
        usd_per_request="0.01",
        discount=Decimal("0.07"),
        margin="0.2",
    )
    assert (read.provider, read.model, read.aliases, read.region) == (
        *("openai", "gpt-5.5"),
        ("gpt-5.5-2026-02-01",),
        "eu",
    )
    assert (read.effective_from, read.effective_to) == (NEW_YEAR, NEW_YEAR + 86_400_000_000)
    assert read.rates.pico_per_token == {"input": 5_000_000, "output": 30_000_000}
    assert read.rates.context_tiers == (
        ContextTier(272, {"input": 10_000_000, "output": 45_000_000}),
        ContextTier(500, {"input": 20_000_000}),
    )
    assert read.rates.pico_per_request == 10_000_000_000
    assert read.tier("batch") == ServiceTier(Fraction(1, 2))
    assert read.tier("standard") == ServiceTier(Fraction(1))
    assert read.tier("flex") is None
    assert read.after_list == Fraction(93, 100) * Fraction(6, 5)


def test_a_gpu_document_is_a_price_per_hour() -> None:
    parsed = parse_price({"gpu": "NVIDIA L4", "usd_per_hour": "0.50", "effective_from": "2026-01-01T00:00:00Z"})
    assert parsed.price == GpuPrice("NVIDIA L4", 500_000_000_000, NEW_YEAR)


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01"])
def test_moments_are_utc_whatever_their_offset(moment: str) -> None:
    assert price(effective_from=moment).effective_from == NEW_YEAR


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"provider": ...}, "provider"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"aliases": "gpt"}, "aliases"),
        ({"aliases": ["ok", 3]}, "aliases[1]"),
        ({"colour": "red"}, "colour"),
        ({"effective_from": ...}, "effective_from"),
        ({"effective_from": "2026-01-01T00:00:00"}, "effective_from"),
        ({"effective_from": "soon"}, "effective_from"),
        ({"effective_to": "2026-01-01T00:00:00Z"}, "effective_to"),
        ({"usd_per_million_tokens": ...}, "usd_per_million_tokens"),
        ({"usd_per_million_tokens": {}}, "usd_per_million_tokens"),
        ({"usd_per_million_tokens": {"inptu": 1}}, "usd_per_million_tokens.inptu"),
        ({"usd_per_million_tokens": {"input": -1}}, "usd_per_million_tokens.input"),
        ({"usd_per_million_tokens": {"input": 0.1}}, "usd_per_million_tokens.input"),
        ({"usd_per_million_tokens": {"input": True}}, "usd_per_million_tokens.input"),
        ({"usd_per_million_tokens": {"input": "NaN"}}, "usd_per_million_tokens.input"),
        ({"usd_per_million_tokens": {"input": "1e30"}}, "usd_per_million_tokens.input"),
        ({"usd_per_request": "-0.1"}, "usd_per_request"),
        ({"discount": "1.01"}, "discount"),
        ({"margin": "-0.1"}, "margin"),
        ({"service_tiers": {"batch": {}}}, "service_tiers.batch.multiplier"),
        ({"service_tiers": {"batch": {"multiplier": "-1"}}}, "service_tiers.batch.multiplier"),
        ({"service_tiers": {"standard": {"multiplier": 2}}}, "service_tiers.standard.multiplier"),
        ({"service_tiers": {"batch": 1}}, "service_tiers.batch"),
        ({"context_tiers": {}}, "context_tiers"),
        ({"context_tiers": [{"usd_per_million_tokens": {"input": 1}}]}, "context_tiers[0].above_input_tokens"),
        ({"context_tiers": [{"above_input_tokens": 5}]}, "context_tiers[0].usd_per_million_tokens"),
        (
            {"context_tiers": [{"above_input_tokens": 5, "usd_per_million_tokens": {"input": 1}}] * 2},
            "context_tiers[1].above_input_tokens",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_field(fields: dict[str, Any], path: str) -> None:
    parsed = parse_price(spec(**fields))
    assert parsed.price is None
    assert path in [error.path for error in parsed.errors], parsed.errors
    assert all(error.message for error in parsed.errors)


def test_everything_wrong_is_said_at_once() -> None:
    parsed = parse_price(spec(provider=..., discount=2, colour="red"))
    assert {error.path for error in parsed.errors} == {"provider", "discount", "colour"}


def test_zero_is_a_price() -> None:
    parsed = parse_price(spec(usd_per_million_tokens={"input": 0, "output": 0}))
    assert not parsed.warnings
    assert price(usd_per_million_tokens={"input": 0}).rates.pico_per_token == {"input": 0}


def test_a_request_fee_alone_is_a_price() -> None:
    assert price(usd_per_million_tokens=..., usd_per_request=1).rates.pico_per_request == 10**12


def test_output_cheaper_than_input_is_a_warning() -> None:
    parsed = parse_price(spec(usd_per_million_tokens={"input": 2, "output": 1}))
    assert parsed.price is not None
    assert [warning.path for warning in parsed.warnings] == ["usd_per_million_tokens.output"]


def test_a_price_finer_than_a_pico_dollar_is_quantised_half_even_with_a_warning() -> None:
    parsed = parse_price(spec(usd_per_million_tokens={"input": "0.0000025"}))
    assert isinstance(parsed.price, ModelPrice)
    assert parsed.price.rates.pico_per_token == {"input": 2}
    assert [warning.path for warning in parsed.warnings] == ["usd_per_million_tokens.input"]


@given(st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 10**9), min_size=1))
def test_any_price_of_six_decimals_is_exact(pico: dict[str, int]) -> None:
    listed = {name: str(Decimal(value).scaleb(-6)) for name, value in pico.items()}
    assert price(usd_per_million_tokens=listed).rates.pico_per_token == pico


def test_a_slip_of_the_decimal_point_is_caught() -> None:
    old = price(usd_per_million_tokens={"input": 5, "output": 30}, usd_per_request=1)
    slip = price(usd_per_million_tokens={"input": "0.01", "output": 3001, "reasoning": 9}, usd_per_request=0)
    assert {error.path for error in check_change(old, slip)} == {
        "usd_per_million_tokens.input",
        "usd_per_million_tokens.output",
        "usd_per_request",
    }
    assert not check_change(old, slip, factor=1_000)[1:]  # only the fee that fell to zero
    fine = price(usd_per_million_tokens={"input": "0.05", "output": 3000}, usd_per_request=1)
    assert not check_change(old, fine)
    assert not check_change(price(usd_per_million_tokens={"input": 0}), fine)


def test_the_bound_holds_for_gpu_hours_too() -> None:
    old, dear = GpuPrice("L4", 10, 0), GpuPrice("L4", 1001, 0)
    assert [error.path for error in check_change(old, dear)] == ["usd_per_hour"]
    assert check_change(old, price())


def test_the_example_catalogue_holds_the_list_prices_of_the_domain() -> None:
    documents = list(yaml.load_all(EXAMPLES.read_text(), Loader=yaml.BaseLoader))  # strings only
    prices = {d["name"]: parse_price(integers(d["spec"])) for d in documents}
    assert all(d["kind"] == "Price" for d in documents)
    assert not [parsed for parsed in prices.values() if parsed.errors or parsed.warnings]
    tokens = {
        name: tuple(parsed.price.rates.pico_per_token[side] for side in ("input", "output"))
        for name, parsed in prices.items()
        if isinstance(parsed.price, ModelPrice)
    }
    assert tokens == {
        "openai/gpt-5.5": (5_000_000, 30_000_000),
        "anthropic/claude-opus-4.8": (5_000_000, 25_000_000),
        "openai/gpt-5.4": (2_500_000, 15_000_000),
        "anthropic/claude-sonnet-4.6": (3_000_000, 15_000_000),
        "anthropic/claude-haiku-4.5": (1_000_000, 5_000_000),
        "meta/llama-4-maverick": (220_000, 850_000),
    }
    hours = {n: p.price.pico_usd_per_hour for n, p in prices.items() if isinstance(p.price, GpuPrice)}
    assert sorted(hours.values()) == [n * 10**10 for n in (35, 50, 75, 175, 250, 450)]


def integers(value: Any) -> Any:
    """BaseLoader reads everything as strings; token thresholds are the only integers a price has."""
    if isinstance(value, dict):
        return {k: int(v) if k == "above_input_tokens" else integers(v) for k, v in value.items()}
    return [integers(item) for item in value] if isinstance(value, list) else value
