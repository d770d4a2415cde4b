"""Numbers as people read them."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.cli.output import cents
from spendstream.domain.money import usd_from_pico
from spendstream.domain.wording import usd


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1282.455", "$1,282.46"),
        ("1282.465", "$1,282.46"),
        ("1282.4550000001", "$1,282.46"),
        ("-1282.465", "-$1,282.46"),
        ("0.0000005", "$0.00"),
        ("0.0000015", "$0.000002"),
        ("0.9999995", "$1.00"),
        ("0", "$0.00"),
    ],
)
def test_money_is_rounded_half_even(amount: str, text: str) -> None:
    assert usd(int(Decimal(amount).scaleb(12))) == text


@given(st.integers(10**12, 10**20))
def test_text_and_table_round_alike(pico: int) -> None:
    exact = usd_from_pico(pico).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    assert usd(pico) == f"${exact:,}" == f"${cents(usd_from_pico(pico))}"
