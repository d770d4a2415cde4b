"""Unit economics: the worked example and the bands of domain.md §8, and the laws of a projection."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.economics.unit import band, project, unit_costs

USD = Decimal


def test_the_chatbot_of_the_handbook_costs_0_0266_a_conversation() -> None:
    assert unit_costs(USD("13320.55"), conversations=500_000).per_conversation_usd == USD("0.0266411")


def test_ratio_margin_and_band_of_a_month() -> None:
    found = unit_costs(USD(3_000), requests=2_000_000, users=1_200, conversations=0, revenue_usd=USD(10_000))
    assert (found.per_request_usd, found.per_user_usd, found.per_conversation_usd) == (USD("0.0015"), USD("2.5"), None)
    assert (found.cost_ratio, found.gross_margin, found.band) == (USD("0.3"), USD("0.7"), "acceptable")
    assert unit_costs(USD(1), revenue_usd=USD(0)).band is None
    assert unit_costs(USD(11), revenue_usd=USD(10)).gross_margin == USD("-0.1")


@pytest.mark.parametrize(
    ("percent", "expected"),
    [("0", "good"), ("19.999", "good"), ("20", "acceptable"), ("50", "acceptable"), ("50.001", "concerning")],
)
def test_bands_change_at_20_and_50_percent(percent: str, expected: str) -> None:
    assert band(Fraction(percent) / 100) == expected


def test_a_projection_grows_by_usage_and_falls_by_efficiency() -> None:
    months = project(USD(1_000), USD("0.10"), USD("0.05"), 2, revenue_usd=USD(4_000))
    assert [month.cost_usd for month in months] == [USD(1_000), USD(1_045), USD("1092.025")]
    assert [month.revenue_usd for month in months] == [USD(4_000), USD(4_400), USD(4_840)]
    assert [month.band for month in months] == ["acceptable"] * 3
    assert months[1].cost_ratio == USD("0.2375")


@pytest.mark.parametrize("wrong", [{"growth": "-1"}, {"efficiency": "1.01"}, {"efficiency": "-0.1"}, {"months": "121"}])
def test_what_cannot_be_is_refused(wrong: dict[str, str]) -> None:
    given = {"growth": "0", "efficiency": "0", "months": "1"} | wrong
    with pytest.raises(ValueError, match=next(iter(wrong))):
        project(USD(1), USD(given["growth"]), USD(given["efficiency"]), int(given["months"]))
    with pytest.raises(ValueError, match="negative"):
        unit_costs(USD(1), requests=-1)
    with pytest.raises(ValueError, match="negative"):
        unit_costs(USD(1), revenue_usd=USD(-1))


amounts = st.decimals(0, 10**6, places=12)
shares = st.decimals(0, 1, places=3)


@given(amounts, shares, shares, st.integers(0, 24))
def test_a_month_is_one_step_from_the_month_before_within_a_rounding(
    cost: Decimal, growth: Decimal, efficiency: Decimal, months: int
) -> None:
    found = project(cost, growth, efficiency, months)
    step = (1 + Fraction(growth)) * (1 - Fraction(efficiency))
    for before, after in pairwise(found):
        assert abs(Fraction(after.cost_usd) - Fraction(before.cost_usd) * step) <= Fraction(3, 2 * 10**12)


@given(amounts, st.integers(1, 10**9))
def test_units_times_their_cost_is_the_cost_within_half_a_pico_dollar_each(cost: Decimal, units: int) -> None:
    each = unit_costs(cost, requests=units).per_request_usd
    assert each is not None
    assert abs(Fraction(each) * units - Fraction(cost)) <= Fraction(units, 2 * 10**12)
