"""Money is exact on the way in, on the way out, and when it is split."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.money import pico_from_usd, quantise_usd, split, usd_from_pico

AMOUNTS = st.integers(-(10**30), 10**30)
SHARES = st.dictionaries(st.text(max_size=3), st.integers(0, 10**15), min_size=1, max_size=8).filter(
    lambda shares: sum(shares.values()) > 0
)


@given(AMOUNTS)
def test_dollars_and_back_is_the_same_amount(pico: int) -> None:
    assert pico_from_usd(usd_from_pico(pico)) == pico


def test_twenty_two_cents_per_million_tokens_is_220_000_pico_dollars_a_token() -> None:
    assert quantise_usd("0.22", 1_000_000) == (220_000, True)


def test_outside_there_are_always_twelve_decimals() -> None:
    assert str(usd_from_pico(25_000_000_000)) == "0.025000000000"
    assert str(usd_from_pico(-1)) == "-1E-12" and usd_from_pico(-1) == Decimal("-0.000000000001")


@pytest.mark.parametrize("usd", ["0.0000000000001", Decimal("1e-13"), "NaN", "Infinity", "five", "1e999999999"])
def test_what_is_not_a_whole_number_of_pico_dollars_is_refused(usd: str | Decimal) -> None:
    with pytest.raises(ValueError):
        pico_from_usd(usd)


@pytest.mark.parametrize("usd", [0.1, True, None])
def test_floats_and_other_things_that_are_not_exact_numbers_are_refused(usd: object) -> None:
    with pytest.raises(ValueError):
        pico_from_usd(usd)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("usd", "pico", "exact"),
    [("0.5e-12", 0, False), ("1.5e-12", 2, False), ("2.5e-12", 2, False), ("2.51e-12", 3, False), ("3e-12", 3, True)],
)
def test_quantising_rounds_half_to_even_and_says_so(usd: str, pico: int, exact: bool) -> None:
    assert quantise_usd(usd) == (pico, exact)


@given(AMOUNTS, SHARES)
def test_parts_add_up_to_the_whole(amount: int, shares: dict[str, int]) -> None:
    assert sum(split(amount, list(shares.values()), list(shares))) == amount


@given(AMOUNTS, SHARES)
def test_every_part_is_within_one_unit_of_its_exact_share(amount: int, shares: dict[str, int]) -> None:
    total = sum(shares.values())
    for part, weight in zip(split(amount, list(shares.values()), list(shares)), shares.values(), strict=True):
        assert abs(part - Fraction(amount * weight, total)) < 1


@given(AMOUNTS, SHARES, st.randoms(use_true_random=False))
def test_who_gets_what_does_not_depend_on_the_order_of_the_shares(amount: int, shares: dict[str, int], random) -> None:  # type: ignore[no-untyped-def]
    keys = list(shares)
    random.shuffle(keys)
    once = dict(zip(shares, split(amount, list(shares.values()), list(shares)), strict=True))
    again = dict(zip(keys, split(amount, [shares[key] for key in keys], keys), strict=True))
    assert once == again


@given(AMOUNTS, SHARES)
def test_a_credit_is_split_as_the_charge_it_reverses(amount: int, shares: dict[str, int]) -> None:
    weights, keys = list(shares.values()), list(shares)
    assert split(-amount, weights, keys) == [-part for part in split(amount, weights, keys)]


def test_ties_go_by_key() -> None:
    assert split(2, [1, 1, 1], ["c", "a", "b"]) == [0, 1, 1]


def test_nobody_to_charge_is_an_error_the_caller_must_route() -> None:
    with pytest.raises(ValueError, match="all weights are zero"):
        split(5, [0, 0], ["a", "b"])
    with pytest.raises(ValueError, match="negative"):
        split(5, [2, -1], ["a", "b"])
