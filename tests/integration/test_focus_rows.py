"""What a FOCUS consumer sees beside plain usage: corrections of closed months, GPU hours; and the way back in."""

import csv
import io
import json
import time
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.bills import COSTS, sums
from tests.support.corrections import price, tell
from tests.support.focus import EITHER_OR, assert_mandatory, failures, needs_validator
from tests.support.gpu import DECLARED, scrape
from tests.support.installation import Installation
from tests.support.usage import now_us, numbered

pytestmark = pytest.mark.embedded
JANUARY = int(datetime(2026, 1, 15, 12, tzinfo=UTC).timestamp()) * 1_000_000
FIRST, SECOND = Decimal("0.0013"), Decimal("0.0008")

Row = dict[str, str]


def export(system: Installation, *options: str) -> list[Row]:
    text = system.run("report", "focus", *options).stdout
    return list(csv.DictReader(io.StringIO(text)))


def by(rows: list[Row], *columns: str) -> dict[Any, Decimal]:
    found: dict[Any, Decimal] = defaultdict(Decimal)
    for row in rows:
        found[tuple(row[name] for name in columns)] += Decimal(row["BilledCost"])
    return dict(found)


def test_an_open_month_is_amended_and_a_closed_one_corrected(installation: Installation, tmp_path: Path) -> None:
    system, month = installation, f"{datetime.now(UTC):%Y-%m}"
    system.service("attribution").start()
    tell(system, tmp_path, price())
    at = now_us()
    system.publish("usage", [*numbered("old", 30, occurred_at=JANUARY), *numbered("new", 20, occurred_at=at)])
    system.publish("usage", numbered("late", 5, occurred_at=JANUARY, model="later"))
    system.until("select count() from charges", lambda n: n == 55)
    system.until("select sum(events) from v_cost_minute", lambda n: n == 55)
    assert {row["x_Kind"] for row in export(system, "--period", "2026")} == {"charge"}

    tell(system, tmp_path, price(input=Decimal("0.5")))
    system.run("reprice", "--from", "2026-01-01", "--to", "2999-01-01", "--apply")
    tell(system, tmp_path, price(model="later"))
    system.until("select countIf(status = 'unpriced') from v_cost", lambda n: n == 0)

    rows = export(system, "--period", "2026", "--grain", "charge")
    assert by(rows, "BillingPeriodStart", "ChargePeriodStart", "ChargeClass", "x_Kind") == {
        (f"{month}-01T00:00:00Z", hour(at), "", "charge"): 20 * SECOND,
        ("2026-01-01T00:00:00Z", "2026-01-15T12:00:00Z", "", "charge"): 30 * FIRST,
        (f"{month}-01T00:00:00Z", "2026-01-15T12:00:00Z", "Correction", "reversal"): -30 * FIRST,
        (f"{month}-01T00:00:00Z", "2026-01-15T12:00:00Z", "Correction", "restatement"): 30 * SECOND + 5 * FIRST,
    }
    assert_mandatory(rows)
    for row in rows:
        for kind in ("List", "Contracted"):
            assert Decimal(row[f"{kind}UnitPrice"]) * Decimal(row["PricingQuantity"]) == Decimal(row[f"{kind}Cost"])

    # By the time of the charge it is v_cost; by the bill it would be on, a month that was exported stays as it was.
    for period in ("2026-01", month):
        [(spent,)] = system.query(f"select sum(cost_usd) from v_cost where toStartOfMonth(day) = '{period}-01'")
        for grain in ("charge", "hour", "day"):
            assert sum(by(export(system, "--period", period, "--grain", grain), "x_Source").values()) == spent
    assert by(export(system, "--period", "2026-01", "--period-of", "billing"), "x_Kind") == {("charge",): 30 * FIRST}
    refused = system.run("report", "focus", "--period", "2026-01-03", "--period-of", "billing", check=False)
    assert (refused.returncode, "whole months" in refused.stderr) == (2, True)


@needs_validator
def test_the_public_validator_finds_nothing_in_corrections_and_gpu_hours(
    installation: Installation, tmp_path: Path
) -> None:
    system = installation
    system.service("attribution").start()
    tell(system, tmp_path, DECLARED + "\n---\n" + price())
    (tmp_path / "scrape.txt").write_text(scrape())
    at = ("--interval", "30s", "--at", "2026-01-15T12:00:00Z")
    system.run("import", "gpu", str(tmp_path / "scrape.txt"), "--format", "dcgm", *at)
    system.publish("usage", numbered("old", 30, occurred_at=JANUARY))
    system.until("select count() from charges", lambda n: n == 30)
    tell(system, tmp_path, price(input=Decimal("0.5")))
    system.run("reprice", "--from", "2026-01-01", "--to", "2999-01-01", "--apply")
    path = tmp_path / "focus.csv"
    system.run("report", "focus", "--period", "2026-01", "--output", str(path))
    assert {row["x_Kind"] for row in csv.DictReader(path.open())} == {"charge", "reversal", "restatement"}
    assert failures(path) <= EITHER_OR


def test_what_is_exported_comes_back_in_exactly_and_once(
    reported_installation: Installation, installation: Installation, tmp_path: Path
) -> None:
    installation.service("attribution").start()
    for grain, file_format in (("day", "csv"), ("charge", "csv"), ("hour", "parquet")):
        path, org = tmp_path / f"focus.{file_format}", f"{grain}-{file_format}"
        exported = ("report", "focus", "--period", "2026", "--grain", grain)
        reported_installation.run(*exported, "--format", file_format, "--output", str(path))
        imported = ("import", "billing", str(path), "--org", org, "--json")
        [first] = json.loads(installation.run(*imported).stdout)["files"]
        [again] = json.loads(installation.run(*imported).stdout)["files"]
        assert (first["new"], again["new"], again["changed"]) == (first["rows"], 0, 0)
        found = installation.query(
            "select provider_name, service_name, toString(month), sum(billed_cost), sum(effective_cost),"
            f" sum(list_cost), sum(contracted_cost) from v_bill where org = '{org}' group by 1, 2, 3"
        )
        whole = sums(path) if file_format == "csv" else parquet_sums(path)
        assert {tuple(row[:3]): list(row[3:]) for row in found} == whole
        # Our own columns stay with the line.
        classes = "select distinct columns['x_TokenClass'], columns['x_Source'] from v_bill"
        assert ("input_uncached", "usage") in installation.query(f"{classes} where org = '{org}'")


def test_gpu_hours_are_usage_of_our_own_and_idle_ones_say_so(installation: Installation, tmp_path: Path) -> None:
    system = installation
    system.service("attribution").start()
    tell(system, tmp_path, DECLARED)
    path, at = tmp_path / "scrape.txt", "2026-07-03T12:00:00Z"
    path.write_text(scrape())
    system.run("import", "gpu", str(path), "--format", "dcgm", "--interval", "30s", "--at", at)
    spent = dict(system.query("select bucket, sum(cost_usd) from v_gpu_cost where status = 'priced' group by bucket"))
    assert {"idle", "idle:search"} <= spent.keys()

    for grain in ("day", "charge"):
        rows = export(system, "--period", "2026-07", "--grain", grain)
        assert by(rows, "x_Bucket") == {(bucket,): usd for bucket, usd in spent.items()}
        assert_mandatory(rows)
        for row in rows:
            assert (row["ProviderName"], row["PricingUnit"], row["x_Source"]) == ("self-hosted", "Hours", "gpu")
            assert (row["ListUnitPrice"], row["ResourceType"], row["x_TokenClass"]) == (
                "3.000000000000000000",
                "GPU",
                "",
            )
            assert row["ListCost"] == row["ContractedCost"] == row["EffectiveCost"] == row["BilledCost"]
            product = Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"])
            assert abs(product - Decimal(row["ListCost"])) < Decimal("1e-9")
            assert row["ChargeDescription"].endswith(row["x_Bucket"] if "idle" in row["x_Bucket"] else "used")


def hour(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(at // 1_000_000))


def parquet_sums(path: Path) -> dict[tuple[str, str, str], list[Decimal]]:
    found: dict[tuple[str, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 4)
    for row in pq.read_table(path).to_pylist():
        key = (row["ProviderName"], row["ServiceName"], f"{row['BillingPeriodStart']:%Y-%m-%d}")
        found[key] = [a + row[name] for a, name in zip(found[key], COSTS, strict=True)]
    return dict(found)
