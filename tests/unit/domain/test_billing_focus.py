"""Rows of FOCUS files of any version become lines, exactly, and say what is wrong by column."""

import csv
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.billing.focus import FocusReader, HeaderError, Origin, Problem
from spendstream.domain.billing.identity import Occurrences
from spendstream.domain.billing.ledger_row import UnusableError, content, ledger_row
from spendstream.domain.prices.currency import FxRate, FxRates
from spendstream.schemas import decode, encode
from tests.support.bills import COSTS, SAMPLE, SPEC, line, sums

ORIGIN = Origin("default", "0" * 64, 1_700_000_000_000_000)


def read(cells: dict[str, str], origin: Origin = ORIGIN) -> Any:
    return FocusReader(list(cells), origin, Occurrences()).read(2, list(cells.values()))


def rows(path: Path, origin: Origin = ORIGIN) -> list[dict[str, Any]]:
    """Good lines of a file as rows of the table."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        reader = FocusReader(next(lines), origin, Occurrences())
        found = [reader.read(i, cells) for i, cells in enumerate(lines, 2) if cells]
    return [ledger_row(item, 0) for item in found if isinstance(item, dict)]


def test_the_real_sample_sums_to_what_decimals_say() -> None:
    found: dict[tuple[str, str, str], list[Decimal]] = {}
    table = rows(SAMPLE)
    for row in table:
        day = date.fromordinal(date(1970, 1, 1).toordinal() + row["billing_period_start"] // 86_400_000_000)
        key = (row["provider_name"], row["service_name"], day.isoformat())
        costs = [row[name] for name in ("billed_cost", "effective_cost", "list_cost", "contracted_cost")]
        found[key] = [a + b for a, b in zip(found.get(key, [Decimal(0)] * 4), costs, strict=True)]
    assert found == sums(SAMPLE)
    assert len({(row["provider_name"], row["billing_period_start"], row["line_id"]) for row in table}) == len(table)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=15))
def test_an_amount_is_kept_exactly_beside_the_pico_dollars_it_rounds_to(cost: Decimal) -> None:
    row = ledger_row(read(line(format(cost, "f"))), 0)
    assert row["original_billed_cost"] == cost
    assert abs(row["billed_cost"] - cost) <= Decimal("5e-13")
    assert row["cost_decimals"] == 15


def test_an_item_travels_unchanged() -> None:
    item = read(line("0.000000000000123", Tags='{"team": "search"}', x_Custom="kept"))
    name, arrived = decode(encode("BillingItem", item))
    assert name == "BillingItem"
    assert {key: value for key, value in arrived.items() if not key.endswith(("_start", "_end", "_at"))} == {
        key: value for key, value in item.items() if not key.endswith(("_start", "_end", "_at"))
    }
    assert item["columns"] == {"x_Custom": "kept"}
    assert item["billed_cost"] == "0.000000000000123"


def test_a_line_keeps_its_identity_when_its_amounts_are_corrected() -> None:
    first, corrected = read(line("1.00")), read(line("0.75", ConsumedQuantity="750", Tags='{"team": "a"}'))
    assert first["line_id"] == corrected["line_id"]
    assert content(first) != content(corrected)
    assert content(read(line("1.50"))) == content(read(line("1.5000", ConsumedQuantity="1000.0")))
    assert content(read(line(ListUnitPrice="0.0000100"))) == content(read(line(ListUnitPrice="1e-05")))
    assert content(read(line(InvoiceId="100"))) != content(read(line(InvoiceId="1")))
    assert content(first) == content({**first, "source_file": "other", "source_row": 9, "imported_at": 1})


def test_a_line_is_the_same_however_an_export_spells_its_times() -> None:
    spelled = {"ChargePeriodStart": "2026-11-02 00:00:00", "ChargePeriodEnd": "2026-11-03"}
    assert read(line(**spelled))["line_id"] == read(line())["line_id"]


@pytest.mark.parametrize(
    "other",
    [{"ServiceName": "Batch"}, {"ChargePeriodStart": "2026-11-02T01:00:00Z"}, {"ChargeDescription": "output"},
     {"BillingAccountId": "acc-2"}, {"ChargeCategory": "Credit"}],
)  # fmt: skip
def test_lines_that_differ_in_what_they_are_for_are_different_lines(other: dict[str, str]) -> None:
    assert read(line())["line_id"] != read(line(**other))["line_id"]


def test_rows_that_cannot_be_told_apart_are_counted_in_order() -> None:
    cells = line()
    reader = FocusReader(list(cells), ORIGIN, Occurrences())
    ids = [reader.read(n, list(cells.values()))["line_id"] for n in range(2, 5)]  # type: ignore[call-overload]
    assert [each.partition("#")[2] for each in ids] == ["", "2", "3"]
    assert len({each.partition("#")[0] for each in ids}) == 1


def test_an_exporters_own_id_is_the_identity() -> None:
    assert read(line(x_LineItemId="li-7"))["line_id"] == "li-7"
    assert read(line("9", x_LineItemId="li-7", ChargeDescription="other"))["line_id"] == "li-7"


def test_missing_columns_are_stood_in_for_and_said() -> None:
    cells = {"BilledCost": "$1,000.50 ", "chargeperiodstart": "4/1/25", "SERVICEPROVIDERNAME": "Acme"}
    reader = FocusReader(list(cells), ORIGIN, Occurrences())
    item = reader.read(2, list(cells.values()))
    assert isinstance(item, dict)
    row = ledger_row(item, 0)
    assert [row[f"{kind}_cost"] for kind in ("billed", "effective", "contracted", "list")] == [Decimal("1000.5")] * 4
    assert (row["provider_name"], row["billing_currency"], row["charge_category"]) == ("Acme", "USD", "Usage")
    assert row["billing_period_end"] - row["billing_period_start"] == 30 * 86_400_000_000
    assert row["charge_period_end"] - row["charge_period_start"] == 86_400_000_000
    assert [warning.split(":")[0] for warning in reader.warnings] == [
        "no BillingCurrency", "no ChargeCategory", "no EffectiveCost", "no ContractedCost", "no ListCost",
    ]  # fmt: skip


def test_a_provider_given_by_hand_is_for_lines_that_name_none() -> None:
    by_hand = replace(ORIGIN, provider="Acme")
    assert read(line(ProviderName="AWS"), by_hand)["provider_name"] == "AWS"
    assert read(line(ProviderName="NULL"), by_hand)["provider_name"] == "Acme"


def test_a_null_amount_counts_as_nothing_and_stays_null_beside_it() -> None:
    row = ledger_row(read(line(ContractedCost="NULL")), 0)
    assert (row["contracted_cost"], row["original_contracted_cost"]) == (0, None)


@pytest.mark.parametrize(
    ("cells", "column"),
    [({"BilledCost": "many"}, "BilledCost"), ({"BilledCost": "NULL"}, "BilledCost"), ({"ListCost": "1,5"}, "ListCost"),
     ({"ChargePeriodStart": "2026-11-02T30:00Z"}, "ChargePeriodStart"), ({"ChargeCategory": "Gift"}, "ChargeCategory"),
     ({"ConsumedQuantity": "lots"}, "ConsumedQuantity"), ({"Tags": "team=a"}, "Tags"),
     ({"BillingCurrency": "EUR"}, "BillingCurrency"), ({"ChargePeriodEnd": "2026-11-01"}, "ChargePeriodEnd")],
)  # fmt: skip
def test_a_bad_cell_is_named_by_its_column(cells: dict[str, str], column: str) -> None:
    problems = read(line(**cells))
    assert [each.column for each in problems] == [column]


def test_an_end_that_is_no_time_is_noted_and_no_reason_to_leave_the_money_out() -> None:
    cells = line("0.50", ChargePeriodEnd="2026-11-02T30:00:00Z", BillingPeriodEnd="soon")
    reader = FocusReader(list(cells), ORIGIN, Occurrences())
    row = ledger_row(reader.read(7, list(cells.values())), 0)  # type: ignore[arg-type]
    assert row["billed_cost"] == Decimal("0.5")
    assert row["charge_period_end"] - row["charge_period_start"] == 86_400_000_000
    assert row["billing_period_end"] == row["billing_period_start"] + 30 * 86_400_000_000
    assert {(number, problem.column) for number, problem in reader.noted} == {
        (7, "ChargePeriodEnd"), (7, "BillingPeriodEnd"),
    }  # fmt: skip


def test_columns_are_found_however_a_program_spells_them() -> None:
    cells = {
        "Billed Cost": "1",
        "charge_period_start": "2026-11-01",
        "PRICINGCURRENCY": "Token",
        "x_Model": "m",
        "": "?",
    }
    item = FocusReader(list(cells), ORIGIN, Occurrences()).read(2, list(cells.values()))
    assert isinstance(item, dict)
    assert (item["billed_cost"], item["columns"]) == ("1", {"PricingCurrency": "Token", "x_Model": "m"})


def test_between_semicolons_a_comma_that_may_be_a_decimal_point_is_refused() -> None:
    for text, problems in (("1,234", 1), ("1.234,50", 1), ("1,234.50", 0), ("1234.5", 0)):
        cells = {"BilledCost": text, "ChargePeriodStart": "2026-11-01"}
        read = FocusReader(list(cells), ORIGIN, Occurrences(), ";").read(2, list(cells.values()))
        assert isinstance(read, list) == bool(problems), text


def test_tags_may_be_a_list_of_keys_and_values() -> None:
    assert read(line(Tags='[{"key": "team", "value": "search"}]'))["tags"] == {"team": "search"}
    assert [each.column for each in read(line(Tags='[{"team": "search"}]'))] == ["Tags"]


def test_every_bad_cell_of_a_row_is_named() -> None:
    assert [each.column for each in read(line(BilledCost="x", ListCost="y", BillingPeriodStart="z"))] == [
        "BilledCost", "ListCost", "BillingPeriodStart",
    ]  # fmt: skip
    assert FocusReader(["BilledCost", "ChargePeriodStart"], ORIGIN, Occurrences()).read(2, ["1"]) == [
        Problem("row", "has 1 cells, the header has 2")
    ]


@pytest.mark.parametrize(
    "header", [["Cost", "ChargePeriodStart"], ["BilledCost"], ["BilledCost", "ChargePeriodStart", "billedcost"]]
)
def test_a_file_that_is_no_bill_is_refused(header: list[str]) -> None:
    with pytest.raises(HeaderError):
        FocusReader(header, ORIGIN, Occurrences())


def test_another_currency_is_converted_at_the_rate_of_its_day() -> None:
    rates = FxRates(
        [FxRate("EUR", date(2026, 11, 1), Decimal("1.1")), FxRate("EUR", date(2026, 11, 3), Decimal("1.2"))]
    )
    origin = Origin("default", "0" * 64, 1, rates=rates)
    row = ledger_row(read(line("0.123456789012345", BillingCurrency="EUR"), origin), 0)
    assert row["billed_cost"] == Decimal("0.135802467914")  # 0.1358024679135795
    assert row["original_billed_cost"] == Decimal("0.123456789012345")
    assert (row["fx_rate"], row["fx_date"]) == (Decimal("1.1"), "2026-11-01")
    early = read(line(BillingCurrency="EUR", ChargePeriodStart="2026-10-31T23:00:00Z"), origin)
    assert [each.column for each in early] == ["BillingCurrency"]


def test_an_item_of_a_producer_of_old_has_its_pico_units() -> None:
    item = {
        **read(line()),
        **dict.fromkeys(("billed_cost", "effective_cost", "list_cost", "contracted_cost")),
    }
    row = ledger_row({**item, "billed_cost_pico": 5, "list_cost_pico": 0, "imported_at": None}, 77)
    assert row["billed_cost"] == Decimal("0.000000000005")
    assert (row["list_cost"], row["original_list_cost"], row["version"]) == (0, None, 77)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [({"provider_name": ""}, "missing_identity"), ({"line_id": ""}, "missing_identity"),
     ({"charge_category": "Gift"}, "charge_category"), ({"billing_currency": "EUR"}, "currency"),
     ({"billed_cost": "much"}, "amount"), ({"charge_period_start": -1}, "time"),
     ({"consumed_quantity": "x"}, "amount")],
)  # fmt: skip
def test_what_can_never_be_a_line_says_why(broken: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnusableError) as refused:
        ledger_row({**read(line()), **broken}, 0)
    assert refused.value.reason == reason


def test_tokens_as_a_virtual_currency_keep_both_prices() -> None:
    [first, *_] = rows(SPEC / "virtual_currency_pricing_model_b3.csv")
    assert (first["pricing_currency"], first["pricing_currency_effective_cost"]) == ("Token", 245)
    assert (first["billed_cost"], first["effective_cost"], first["list_cost"]) == (0, 245, 490)


def test_a_bought_commitment_and_its_use_are_told_apart() -> None:
    bought, *used = rows(
        SPEC / "one_hundred_percent_utilization_with_commitment_discount_flexibility_with_2_resources.csv"
    )
    assert (bought["charge_category"], bought["billed_cost"], bought["effective_cost"]) == ("Purchase", 2, 0)
    assert [(row["billed_cost"], row["effective_cost"], row["list_cost"]) for row in used] == [(0, 1, 2)] * 2
    assert {row["commitment_discount_status"] for row in used} == {"Used"}
    assert len({row["line_id"] for row in used}) == 2


def test_money_with_signs_and_separators_is_read_from_the_specifications_examples() -> None:
    assert [row["billed_cost"] for row in rows(SPEC / "simple_saas_agreements_c.csv")] == [10_100, 13_000, 12_700]
    assert len(COSTS) == 4
