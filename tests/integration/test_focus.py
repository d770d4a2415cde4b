"""The FOCUS 1.2 export: its mandatory columns, its rules, and every sum exactly that of v_cost.

Rules as in FOCUS 1.2, specification/columns; the public validator checks them too where it is installed (`make focus`).
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.focus import EITHER_OR, FOCUS_1_2, NEVER_NULL, failures, needs_validator
from tests.support.installation import Installation
from tests.support.reports import CALLS

pytestmark = pytest.mark.embedded
PERIOD = "2026-01..2026-03"
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
Row = dict[str, str]


@pytest.fixture(scope="module")
def exported(reported_installation: Installation) -> dict[str, list[Row]]:
    """The CSV of each grain."""
    return {grain: export(reported_installation, grain) for grain in ("charge", "hour", "day")}


def export(system: Installation, grain: str) -> list[Row]:
    text = system.run("report", "focus", "--period", PERIOD, "--grain", grain).stdout
    return list(csv.DictReader(io.StringIO(text)))


def total(rows: Sequence[Row], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


def test_every_grain_costs_exactly_what_v_cost_says(
    exported: dict[str, list[Row]], reported_installation: Installation
) -> None:
    spent = reported_installation.value("select sum(cost_usd) from v_cost")
    for grain, rows in exported.items():
        assert total(rows, "BilledCost") == total(rows, "EffectiveCost") == spent, grain
        for column in ("ListCost", "ContractedCost", "PricingQuantity"):
            assert total(rows, column) == total(exported["charge"], column)
    teams = reported_installation.query("select team, toDate(ts) as d, sum(cost_usd) from v_cost group by team, d")
    for team, day, usd in teams:
        of_day = [row for row in exported["day"] if row["x_Team"] == team
                  and row["ChargePeriodStart"] == f"{day}T00:00:00Z"]  # fmt: skip
        assert total(of_day, "BilledCost") == usd
    assert len(exported["charge"]) > len(exported["day"]) > 100


def test_columns_are_those_of_focus_and_ours_begin_with_x(exported: dict[str, list[Row]]) -> None:
    for rows in exported.values():
        columns = set(rows[0])
        assert columns >= FOCUS_1_2
        assert all(name.startswith("x_") for name in columns - FOCUS_1_2)


def test_nulls_values_and_units_are_as_the_standard_wants_them(exported: dict[str, list[Row]]) -> None:
    for row in (row for rows in exported.values() for row in rows):
        assert not [name for name in NEVER_NULL if row[name] == ""]
        assert row["ChargeClass"] == row["InvoiceId"] == row["CommitmentDiscountId"] == ""
        assert (row["ChargeCategory"], row["ChargeFrequency"]) == ("Usage", "Usage-Based")
        assert (row["PricingCategory"], row["BillingCurrency"]) == ("Standard", "USD")
        assert (row["ServiceCategory"], row["ServiceSubcategory"]) == ("AI and Machine Learning", "Generative AI")
        assert row["PricingUnit"] == row["ConsumedUnit"] in ("Tokens", "Requests")
        assert row["PricingQuantity"] == row["ConsumedQuantity"]
        assert (row["RegionId"] == "") == (row["RegionName"] == "")
        assert (row["SubAccountId"] == "") == (row["SubAccountName"] == "") == (row["SubAccountType"] == "")
        assert "NULL" not in row.values()


def test_cost_is_unit_price_times_quantity_and_no_price_is_negative(exported: dict[str, list[Row]]) -> None:
    for row in (row for rows in exported.values() for row in rows):
        quantity = Decimal(row["PricingQuantity"])
        for kind in ("List", "Contracted"):
            price = Decimal(row[f"{kind}UnitPrice"])
            assert price >= 0
            # Each charge's cost is rounded to a pico-dollar; a row may stand for many.
            rounded = Decimal(row.get("x_Charges", 1)) * Decimal("0.5e-12")
            assert abs(price * quantity - Decimal(row[f"{kind}Cost"])) <= rounded


def test_list_contracted_and_billed_differ_where_there_is_a_discount_or_margin(exported: dict[str, list[Row]]) -> None:
    for model in ("negotiated", "gpt-5.4"):
        rows = [row for row in exported["day"] if row["x_Model"] == model and row["x_CacheHit"] == "false"]
        costs = [total(rows, column) for column in COSTS]
        assert len(set(costs)) == (3 if model == "negotiated" else 1)
        assert costs[2] >= costs[0] >= costs[3] > 0  # list ≥ billed ≥ contracted


def test_periods_are_utc_nested_and_as_long_as_the_grain(exported: dict[str, list[Row]]) -> None:
    for grain, rows in exported.items():
        for row in rows:
            names = ("BillingPeriodStart", "ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodEnd")
            assert all(TIME.fullmatch(row[name]) for name in names)
            times = [datetime.fromisoformat(row[name]) for name in names]
            assert times == sorted(times)
            assert times[2] - times[1] == (timedelta(days=1) if grain == "day" else timedelta(hours=1))
            assert times[0].day == times[3].day == 1


def test_skus_are_stable_and_a_sku_price_has_one_price(exported: dict[str, list[Row]]) -> None:
    for key, value in (("SkuId", "SkuMeter"), ("SkuPriceId", "SkuId"), ("SkuPriceId", "ListUnitPrice"),
                       ("SkuPriceId", "SkuPriceDetails")):  # fmt: skip
        found: dict[str, set[str]] = {}
        for row in exported["charge"]:
            found.setdefault(row[key], set()).add(row[value])
        assert all(len(values) == 1 for values in found.values()), (key, value)


def test_tags_and_details_are_flat_json_objects(exported: dict[str, list[Row]]) -> None:
    for row in exported["charge"]:
        tags, details = json.loads(row["Tags"]), json.loads(row["SkuPriceDetails"])
        assert tags.get("team", "") == row["x_Team"]
        assert all(isinstance(value, str) and value for value in (*tags.values(), *details.values()))
        assert all(key.startswith("x_") for key in details)


def test_usage_without_a_price_is_no_charge(exported: dict[str, list[Row]]) -> None:
    events = {row["x_EventId"] for row in exported["charge"]}
    half = {call.row["event_id"]: call.row for call in CALLS if call.row["model"] == "half"}
    assert not events & {call.row["event_id"] for call in CALLS if call.row["model"] == "knows-this"}
    classes = {row["x_TokenClass"] for row in exported["charge"] if row["x_EventId"] in half}
    assert classes == {"input_uncached", "input_cache_read"}  # its output has no price: partial


def test_parquet_holds_the_same_rows_with_decimals_and_times(
    exported: dict[str, list[Row]], reported_installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "focus.parquet"
    reported_installation.run("report", "focus", "--period", PERIOD, "--format", "parquet", "--output", str(path))
    table = pq.read_table(path)
    assert table.num_rows == len(exported["day"])
    assert str(table.schema.field("BilledCost").type).startswith("decimal128(38, 12")
    assert "timestamp" in str(table.schema.field("ChargePeriodStart").type)
    assert sum(table["BilledCost"].to_pylist()) == total(exported["day"], "BilledCost")


@needs_validator
@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_the_public_validator_finds_nothing(
    reported_installation: Installation, tmp_path: Path, file_format: str
) -> None:
    export = tmp_path / f"focus.{file_format}"
    reported_installation.run("report", "focus", "--period", PERIOD, "--format", file_format, "--output", str(export))
    assert failures(export) <= EITHER_OR
