"""Bills from file to view: exact, once, corrected in place, and honest about what could not be taken."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from spendstream.schemas import encode
from tests.support.bills import SAMPLE, SPEC, bill, line, sums
from tests.support.installation import Installation

pytestmark = pytest.mark.embedded
BY_MONTH = """
select provider_name, service_name, toString(month),
  sum(billed_cost), sum(effective_cost), sum(list_cost), sum(contracted_cost)
from spendstream.v_bill where org = '{org}' group by all
"""


@pytest.fixture
def billed(installation: Installation) -> Installation:
    installation.service("attribution").start()
    return installation


def imported(system: Installation, *arguments: str, code: int = 0) -> Any:
    done = system.run("import", "billing", *arguments, "--json", check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)["files"]


def by_month(system: Installation, org: str = "default") -> dict[tuple[str, str, str], list[Decimal]]:
    return {tuple(row[:3]): list(row[3:]) for row in system.query(BY_MONTH.format(org=org))}


def test_bills_are_exact_imported_once_and_corrected_by_the_newest(billed: Installation, tmp_path: Path) -> None:
    [first] = imported(billed, str(SAMPLE))
    assert (first["rows"], first["new"], first["bad_rows"]) == (110, 110, 0)
    assert by_month(billed) == sums(SAMPLE)

    [again] = imported(billed, str(SAMPLE))
    assert (again["new"], again["changed"], again["unchanged"]) == (0, 0, 110)
    assert again["already_imported_at"] is not None
    assert billed.value("select count() from spendstream.billing_items") == 110

    parquet = tmp_path / "same.parquet"
    texts = {name: pa.string() for name in pa.csv.read_csv(SAMPLE).column_names}
    pq.write_table(pa.csv.read_csv(SAMPLE, convert_options=pa.csv.ConvertOptions(column_types=texts)), parquet)
    [same] = imported(billed, str(parquet))
    assert (same["new"], same["changed"], same["unchanged"]) == (0, 0, 110)

    corrected = tmp_path / "corrected.csv"
    corrected.write_text(SAMPLE.read_text().replace(",0.00000080000,", ",7.5,", 1))
    [change] = imported(billed, str(corrected))
    assert (change["new"], change["changed"], change["unchanged"]) == (0, 1, 109)
    assert by_month(billed) == sums(corrected)
    history = billed.query(
        "select billed_cost, is_current from spendstream.v_bill_history"
        " where line_id in (select line_id from spendstream.billing_items group by line_id having count() > 1)"
        " order by version"
    )
    assert [tuple(row) for row in history] == [(Decimal("0.0000008"), False), (Decimal("7.5"), True)]

    imported(billed, str(SAMPLE))
    assert by_month(billed) == sums(corrected), "a file that was imported before replaces nothing"


def test_an_import_killed_half_way_is_given_again_and_the_bill_is_whole(billed: Installation, tmp_path: Path) -> None:
    path, count = tmp_path / "large.csv", 30_000
    path.write_text(bill([line("0.01", ChargeDescription=f"call {i}") for i in range(count)]))
    command = ["nice", "-n", "5", sys.executable, "-m", "spendstream", "import", "billing", str(path)]
    with subprocess.Popen(command, env={**os.environ, **billed.environment}) as first:
        try:
            billed.until("select count() from spendstream.billing_items", lambda there: there > 0)
        finally:
            first.kill()
    [report] = imported(billed, str(path))
    assert report["already_imported_at"] is None
    assert 0 < report["unchanged"] < count, "the import was not killed half way"
    assert report["new"] + report["unchanged"] == count
    totals = billed.query("select count(), sum(billed_cost) from spendstream.v_bill")
    assert [tuple(row) for row in totals] == [(count, Decimal("0.01") * count)]
    assert billed.value("select count() from spendstream.billing_items") == count


def test_good_rows_are_kept_and_poison_is_filed(billed: Installation, tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    rows = [
        line("1.10"),
        line("x", ServiceName="bad"),
        line("2.20", ServiceName="Batch"),
        line("3", BillingCurrency="EUR", ServiceName="Euro"),
    ]
    path.write_text(bill(rows))
    done = billed.run("import", "billing", str(path), "--org", "acme", check=False)
    assert done.returncode == 1
    assert f"{path}:3: BilledCost: 'x' is not a number" in done.stderr
    assert f"{path}:5: BillingCurrency: no exchange rate for EUR" in done.stderr
    assert "2 bad rows" in done.stderr
    rate = tmp_path / "rate.yaml"
    spec = "{currency: EUR, date: 2026-11-01, usd_per_unit: 1.1}"
    rate.write_text(f"kind: FxRate\nname: eur\norg: acme\nspec: {spec}\n")
    billed.run("apply", "-f", str(rate))
    [after] = imported(billed, str(path), "--org", "acme", code=1)
    assert (after["new"], after["unchanged"], after["bad_rows"]) == (1, 2, 1)
    path.write_text(bill([rows[0], line("0.30", ServiceName="bad"), *rows[2:]]))
    [after] = imported(billed, str(path), "--org", "acme")
    assert (after["new"], after["unchanged"]) == (1, 3)
    assert sum(costs[0] for costs in by_month(billed, "acme").values()) == Decimal("6.90")

    item = {
        "provider_name": "X",
        "line_id": "1",
        "billing_currency": "EUR",
        "charge_category": "Usage",
        **dict.fromkeys(("billing_period_start", "billing_period_end", "charge_period_start", "charge_period_end"), 0),
        **dict.fromkeys(("billed_cost_pico", "effective_cost_pico", "list_cost_pico", "contracted_cost_pico"), 1),
    }
    billed.publish("billing", [(b"k", b"poison"), (b"k", encode("BillingItem", item))])
    letters = "select reason from spendstream.dead_letters final where topic = 'billing' order by offset"
    billed.until(f"select groupArray(reason) from ({letters})", lambda found: found == ["undecodable", "currency"])
    shown = json.loads(billed.run("dead-letters", "show", "--topic", "billing", "--json").stdout)
    assert {each["event_id"] for each in shown} == {"", "X/1"}


def test_what_is_no_bill_or_twice_the_same_line_is_refused_before_anything_is_sent(
    billed: Installation, tmp_path: Path
) -> None:
    part = {name: tmp_path / name for name in ("a.csv", "b.csv", "not.csv")}
    part["a.csv"].write_text(bill([line("1")]))
    part["b.csv"].write_text(bill([line("2")]))
    part["not.csv"].write_text("a,b\n1,2\n")
    refused = billed.run("import", "billing", str(part["a.csv"]), str(part["not.csv"]), check=False)
    assert (refused.returncode, "no column BilledCost" in refused.stderr) == (2, True)
    refused = billed.run("import", "billing", str(part["a.csv"]), str(part["b.csv"]), check=False)
    assert (refused.returncode, "--together" in refused.stderr) == (2, True)
    assert billed.value("select count() from spendstream.billing_items") == 0
    imported(billed, str(part["a.csv"]), str(part["b.csv"]), "--together")
    assert billed.value("select sum(billed_cost) from spendstream.v_bill") == 3

    odd = SPEC / "commitment_discount_purchase_scenario_3.csv"
    [report] = imported(billed, str(odd), "--provider", "Acme", "--org", "spec")
    assert [(noted["line"], noted["column"]) for noted in report["noted"]] == [(5, "ChargePeriodEnd")]
    assert billed.value("select sum(billed_cost) from spendstream.v_bill where org = 'spec'") == Decimal("4381.5")


def test_a_complete_bill_withdraws_what_it_no_longer_has_and_says_so_before(
    billed: Installation, tmp_path: Path
) -> None:
    path, lines = tmp_path / "bill.csv", [line(f"{i}.25", ChargeDescription=f"line {i}") for i in range(4)]
    others = [line("7", BillingAccountId="acc-2"), line("8", BillingPeriodStart="2026-10-01T00:00:00Z")]
    total = "select sum(billed_cost) from spendstream.v_bill"

    def give(rows: list[dict[str, str]], *options: str, code: int = 0) -> Any:
        path.write_text(bill(rows))
        [report] = imported(billed, str(path), *options, code=code)
        return report

    give([*lines, *others])
    assert (give(lines[:2])["withdrawn"], billed.value(total)) == (0, 22), "by default a line stays"

    shown = give(lines[:2], "--complete", "--dry-run")
    assert (shown["withdrawn"], shown["withdrawn_usd"], billed.value(total)) == (2, "5.500000000000", 22)
    bad = give([*lines[:2], line("x")], "--complete", code=1)
    assert (bad["bad_rows"], bad["withdrawn"], billed.value(total)) == (1, 0, 22)

    path.write_text(bill(lines[:2]))
    said = billed.run("import", "billing", str(path), "--complete")
    assert "withdrawing 2 lines, 5.500000000000 USD billed, of OpenAI, 2026-11-01, account acc-1" in said.stderr
    assert billed.value(total) == Decimal("16.50"), "other accounts and periods stay"
    again = give(lines[:2], "--complete")
    assert (again["withdrawn"], again["unchanged"]) == (0, 2)
    history = billed.query(
        "select charge_description, groupArray((billed_cost, withdrawn)) from"
        " (select * from spendstream.v_bill_history order by version) group by line_id, charge_description"
        " having count() > 1 order by 1"
    )
    assert [tuple(row) for row in history] == [
        (f"line {i}", [(Decimal(f"{i}.25"), False), (Decimal(0), True)]) for i in (2, 3)
    ]

    back = give(lines, "--complete")
    assert (back["new"] + back["changed"], back["withdrawn"], billed.value(total)) == (2, 0, 22)
    assert billed.run("import", "billing", str(path), "--complete", "--no-wait", check=False).returncode == 2
