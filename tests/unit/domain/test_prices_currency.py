"""Prices in other currencies: the rate of the day an event occurred, one rounding, the rate named in the price id."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.prices import (
    FxRate,
    FxRates,
    ModelPrice,
    PriceBook,
    PriceRevision,
    Rates,
    check_change,
    parse_fx_rate,
    parse_price,
)
from tests.unit.domain.test_prices_reference import Bill, rate

DAY = 86_400_000_000
START = date(2026, 1, 1)
MIDNIGHT = (datetime(2026, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def euros(per_token: int, **fields: Any) -> ModelPrice:
    return ModelPrice("p", "m", Rates({"input": per_token}), **{"effective_from": 0, "currency": "EUR", **fields})


def rates(*usd_per_unit: str) -> FxRates:
    """A rate a day from 2026-01-01 on."""
    return FxRates(FxRate("EUR", START + timedelta(days=i), Decimal(usd)) for i, usd in enumerate(usd_per_unit))


def bill(price: ModelPrice, fx: FxRates, **row: Any) -> Bill:
    return rate(PriceBook.build([PriceRevision("doc", price)], None, fx), row)[0]


def test_an_event_takes_the_rate_of_its_day_and_says_so() -> None:
    fx = rates("1.10", "1.20")
    last_moment = bill(euros(1_000), fx, input_tokens=10, occurred_at=MIDNIGHT + DAY - 1)
    next_day = bill(euros(1_000), fx, input_tokens=10, occurred_at=MIDNIGHT + DAY)
    assert (last_moment.cost_pico_usd, next_day.cost_pico_usd) == (11_000, 12_000)
    assert last_moment.price_id == "doc@1970-01-01T00:00:00Z#1 EUR@2026-01-01=1.10"
    assert next_day.price_id.endswith("EUR@2026-01-02=1.20")


def test_the_rate_card_of_a_euro_price_is_in_dollars() -> None:
    book = PriceBook.build([PriceRevision("doc", euros(1_000, discount=Fraction(1, 2)))], None, rates("1.25"))
    price_id = rate(book, {"input_tokens": 1, "occurred_at": MIDNIGHT})[0].price_id
    card = book.card(price_id, "standard")
    assert card is not None and card.price_id == price_id
    assert (card.list_factor, card.billed_factor) == (Fraction(5, 4), Fraction(5, 8))


def test_before_the_first_rate_it_is_unpriced_not_zero_and_not_taken_for_dollars() -> None:
    found = bill(euros(1_000), rates("1.10"), input_tokens=10, occurred_at=MIDNIGHT - 1)
    assert (found.status, found.unpriced_reason, found.cost_pico_usd) == ("unpriced", "currency", 0)


def test_a_rate_goes_on_until_the_next_one() -> None:
    assert bill(euros(1_000), rates("1.10"), input_tokens=1, occurred_at=MIDNIGHT + 90 * DAY).cost_pico_usd == 1_100


@given(
    per_token=st.integers(0, 10**8), tokens=st.integers(0, 10**6), usd=st.decimals("0.0001", "300", places=6),
    discount=st.fractions(0, 1, max_denominator=1_000), margin=st.fractions(0, 3, max_denominator=1_000),
)  # fmt: skip
def test_conversion_multiplies_the_exact_sum_and_rounds_once(
    per_token: int, tokens: int, usd: Decimal, discount: Fraction, margin: Fraction
) -> None:
    price = euros(per_token, discount=discount, margin=margin)
    found = bill(price, rates(str(usd)), input_tokens=tokens, occurred_at=MIDNIGHT)
    exact = Fraction(tokens * per_token) * (1 - discount) * (1 + margin) * Fraction(usd)
    assert found.cost_pico_usd == round(exact)


def test_a_price_in_euros_has_its_own_field_names_and_refuses_dollars() -> None:
    spec = {"provider": "p", "model": "m", "effective_from": "2026-01-01", "currency": "EUR"}
    good = parse_price({**spec, "per_million_tokens": {"input": "2.5"}})
    assert isinstance(good.price, ModelPrice) and good.price.currency == "EUR"
    assert good.price.rates.pico_per_token == {"input": 2_500_000}
    mixed = parse_price({**spec, "usd_per_million_tokens": {"input": "2.5"}})
    assert [error.path for error in mixed.errors] == ["usd_per_million_tokens", "per_million_tokens"]
    assert parse_price({**spec, "currency": "euro", "per_million_tokens": {"input": 1}}).errors[0].path == "currency"


def test_a_price_that_changes_its_currency_is_not_held_against_the_old_figures() -> None:
    assert check_change(euros(1_000), euros(1_000_000_000, currency="JPY")) == []
    assert check_change(euros(1_000), euros(1_000_000_000)) != []


@pytest.mark.parametrize(
    ("change", "path"),
    [({"currency": "USD"}, "currency"), ({"currency": "eur"}, "currency"), ({"date": "yesterday"}, "date"),
     ({"usd_per_unit": 0}, "usd_per_unit"), ({"usd_per_unit": 1.1}, "usd_per_unit"),
     ({"usd_per_unit": "-1"}, "usd_per_unit"), ({"date": None}, "date"), ({"rate": 1}, "rate")],
)  # fmt: skip
def test_what_is_wrong_with_a_rate_is_said_at_its_field(change: dict[str, object], path: str) -> None:
    spec: dict[str, object] = {"currency": "EUR", "date": "2026-11-01", "usd_per_unit": Decimal("1.0832")}
    assert parse_fx_rate(spec)[1] == []
    wrong = parse_fx_rate({**spec, **change})
    assert wrong[0] is None and [each for each, _ in wrong[1]] == [path]
