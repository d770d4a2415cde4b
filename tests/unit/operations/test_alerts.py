"""Alert records for people."""

from decimal import Decimal

from spendstream.operations.alerts import in_usd


def test_money_is_in_dollars_to_the_last_pico_dollar_and_the_rest_as_it_was() -> None:
    record = {"at_stake_pico_usd": 2**63 - 1, "limit_pico_usd": None, "title": "t", "level": 0.7}
    assert in_usd(record) == {
        "at_stake_usd": Decimal("9223372.036854775807"), "limit_usd": None, "title": "t", "level": 0.7,
    }  # fmt: skip
