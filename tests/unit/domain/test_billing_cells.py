"""Cells of a bill are exact, whatever a spreadsheet made of them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.billing import cells

DECIMALS = st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, places=18)


@given(DECIMALS)
def test_an_amount_reads_as_exactly_the_number_it_spells(value: Decimal) -> None:
    assert cells.amount(format(value, "f")) == value
    assert cells.amount(f"{value:E}") == value
    assert cells.amount(f" {value:,f} ") == value
    assert Decimal(cells.plain(cells.amount(f"{value:E}"))) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$50,000.00 ", "50000"),
        ("-$1.5", "-1.5"),
        ("(5.00)", "-5"),
        ("0.00 ", "0"),
        ("1E-7", "0.0000001"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+3", "3"),
        ("-0.00000080000", "-0.0000008"),
    ],
)
def test_amounts_are_read_as_spreadsheets_write_them(text: str, value: str) -> None:
    assert cells.amount(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1,5",
        "12,34.5",
        "1.2.3",
        "--1",
        "(-1)",
        "NaN",
        "Infinity",
        "€5",
        "$",
        ".",
        "1e999",
        "1" + "0" * 24,
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        cells.amount(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01T00:00:00Z", (2026, 11, 1)),
        ("2024-09-18 22:00:00", (2024, 9, 18, 22)),
        ("2026-11-01T02:00:00+02:00", (2026, 11, 1)),
        ("2026-11-01", (2026, 11, 1)),
        ("4/1/25", (2025, 4, 1)),
        ("12/31/2025 23:59", (2025, 12, 31, 23, 59)),
        ("2026-11-01 00:00:00 UTC", (2026, 11, 1)),
    ],
)
def test_times_are_read_as_utc(text: str, moment: tuple[int, ...]) -> None:
    assert cells.moment(text) == int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize("text", ["2023-02-01T30:00:00Z", "31/12/2025", "1969-12-31", "2106-01-01", "soon", "2/30/25"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|between"):
        cells.moment(text)


def test_tags_come_as_an_object_or_without_its_braces() -> None:
    assert cells.tags('{"team": "search", "n": 3, "none": null}') == {"team": "search", "n": "3"}
    assert cells.tags('"team": "search","env": "prod"') == {"team": "search", "env": "prod"}
    with pytest.raises(ValueError, match="JSON"):
        cells.tags("team=search")


@pytest.mark.parametrize("text", ["", "  ", "NULL", "null", " Null ", None])
def test_null_is_written_in_many_ways(text: str | None) -> None:
    assert cells.known(text) is None
