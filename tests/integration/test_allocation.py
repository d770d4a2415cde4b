"""Shared cost through public commands: shown first, written once, changed only by another version."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spendstream.runtime.clickhouse.client import connect
from tests.support.allocation import LAST_MONTH
from tests.support.focus import assert_mandatory
from tests.support.installation import Installation
from tests.support.usage import PRICES, numbered

pytestmark = pytest.mark.embedded

EACH = Decimal("0.0013")
MONTH = f"{LAST_MONTH.start:%Y-%m}"
MONTH_START = datetime.combine(LAST_MONTH.start, time(), UTC)
WHEN = datetime.combine(LAST_MONTH.start, time(12), UTC)
AT = int(WHEN.timestamp()) * 1_000_000
RULES = """
kind: AttributionRule
name: gateway
spec:
  match: {service: gateway}
  model: proportional
  metric: requests
  over: {service: ranker}
"""
EVERY_SOURCE = """
kind: AttributionRule
name: vector-db
spec: {match: {category: data_storage, service: vector-db}, model: proportional, metric: requests, by: team}
---
kind: AttributionRule
name: buckets
spec: {match: {category: data_storage}, model: proportional, metric: storage_bytes, priority: 200}
---
kind: AttributionRule
name: machines
spec: {match: {source: billing, service: machines}, model: direct, counted_in: gpu}
---
kind: AttributionRule
name: pool
spec: {match: {source: gpu, team: platform}, model: proportional, metric: tokens}
"""
INVOICE = """
kind: AttributionRule
name: invoice
spec: {match: {category: external_apis, provider: test}, model: direct, counted_in: billing}
"""
SHARES = "kind: AttributionRule\nname: gateway\nspec: {match: {service: gateway}, model: fixed, shares: {ads: 1}}\n"


def file(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def publish(system: Installation, prefix: str, count: int, **fields: Any) -> None:
    before = system.value("select count() from charges")
    system.publish("usage", numbered(prefix, count, occurred_at=AT, **fields))
    for rows in ("select count() from charges", "select sum(events) from v_cost_minute"):
        system.until(rows, lambda n: n == before + count)


def reallocate(system: Installation, *options: str) -> dict[str, Any]:
    report = json.loads(system.run("reallocate", "--period", MONTH, "--json", *options).stdout)
    (allocation,) = report["allocations"]
    assert Decimal(allocation["total_usd"]) == 0
    return dict(allocation)


def moved(allocation: dict[str, Any]) -> dict[tuple[str, str], Decimal]:
    return {(move["from"], move["to"]): Decimal(move["cost_usd"]) for move in allocation["moves"]}


def spent(system: Installation, table: str, kind: str = "") -> dict[str, Decimal]:
    where = f"where kind = '{kind}'" if kind else ""
    rows: Sequence[Sequence[Any]] = system.query(
        f"select team, sum(cost_usd) as usd from {table} {where} group by team having usd != 0"
    )
    return {str(team): usd for team, usd in rows}


def assert_focus_says_the_same(system: Installation) -> None:
    """FOCUS 1.3 costs by source and owner what v_allocated says, and its shares of an origin add up to one."""
    sums = "select {}, sum({}) as usd from {} group by all having usd != 0 order by all"
    assert system.query(sums.format("x_Source, x_Team", "BilledCost", "v_focus_1_3")) == system.query(
        sums.format("source, team", "cost_usd", "v_allocated")
    )
    ratio = (
        "JSONExtractRaw(JSONExtractArrayRaw(assumeNotNull(AllocatedMethodDetails), 'Elements')[1], 'AllocatedRatio')"
    )
    ratios = system.query(
        f"select x_Source, ServiceName, x_Service, AllocatedMethodId, Tags, sum(toDecimal128({ratio}, 12))"
        " from v_focus_1_3 where AllocatedMethodDetails != '' group by all"
    )
    assert {row[-1] for row in ratios} <= {1}
    exported = system.run("report", "focus", "--period", MONTH, "--focus-version", "1.3").stdout
    moved_rows = [row for row in csv.DictReader(io.StringIO(exported)) if row["x_Kind"] in ("allocated", "shared out")]
    assert_mandatory(moved_rows)


def test_a_month_is_shown_written_once_and_corrected_by_versions(installation: Installation, tmp_path: Path) -> None:
    system = installation
    system.service("attribution").start()
    system.run("apply", "-f", file(tmp_path, "prices.yaml", PRICES), "-f", file(tmp_path, "rules.yaml", RULES))
    publish(system, "shared", 8, service="gateway", team="platform")
    publish(system, "search", 30, team="search")
    publish(system, "ads", 10, team="ads")
    views = ("v_allocated", "v_chargeback_month")

    # Nothing is allocated yet: cost is where the events say.
    for view in views:
        assert spent(system, view) == {"platform": 8 * EACH, "search": 30 * EACH, "ads": 10 * EACH}

    # Shown, not written.
    first = reallocate(system)
    assert (first["version"], first["is_new"], first["written"]) == (1, True, False)
    assert moved(first) == {("platform", "search"): 6 * EACH, ("platform", "ads"): 2 * EACH}
    assert system.value("select count() from allocations") == 0

    # Written, and the second time there is nothing to write.
    assert reallocate(system, "--apply")["digest"] == first["digest"]
    again = reallocate(system, "--apply")
    assert (again["version"], again["is_new"], again["moves"]) == (1, False, [])
    for table in ("allocations", *views):
        assert spent(system, table) == {"search": 36 * EACH, "ads": 12 * EACH}
        assert spent(system, table, "allocated") == {"search": 6 * EACH, "ads": 2 * EACH}
    known_at = system.value("select max(known_at) from allocations")
    assert_focus_says_the_same(system)

    # Late usage is seen at once where it occurred, and shared out by the next version.
    publish(system, "late", 20, team="ads")
    assert spent(system, "v_allocated") == {"search": 36 * EACH, "ads": 32 * EACH}
    late = reallocate(system, "--apply")
    assert (late["version"], late["base_version"], Decimal(late["new_cost_usd"])) == (2, 1, 20 * EACH)
    assert moved(late) == {("search", "ads"): 2 * EACH}

    assert_focus_says_the_same(system)

    # A changed rule: another version.
    system.run("apply", "-f", file(tmp_path, "shares.yaml", SHARES))
    changed = reallocate(system, "--apply")
    assert (changed["version"], Decimal(changed["new_cost_usd"])) == (3, 0)
    assert moved(changed) == {("search", "ads"): 4 * EACH}
    for table in ("allocations", *views):
        assert spent(system, table) == {"search": 30 * EACH, "ads": 38 * EACH}

    # What was known then is still known.
    then = f"(select * from allocations where known_at <= '{known_at:%Y-%m-%d %H:%M:%S.%f}')"
    assert spent(system, then) == {"search": 36 * EACH, "ads": 12 * EACH}
    versions = system.query("select version, digest, change_usd from v_allocation_versions order by version")
    assert [(number, change) for number, _, change in versions] == [(1, 48 * EACH), (2, 20 * EACH), (3, 0)]
    assert [digest for _, digest, _ in versions] == [first["digest"], late["digest"], changed["digest"]]
    assert_focus_says_the_same(system)

    # A wrong month is a usage error, an empty one is none.
    assert system.run("reallocate", "--period", "2026-13", check=False).returncode == 2
    assert json.loads(system.run("reallocate", "--period", "2020-01", "--json").stdout)["allocations"] == []


def test_bills_and_gpus_are_shared_out_too_and_no_dollar_is_counted_twice(
    installation: Installation, tmp_path: Path
) -> None:
    system = installation
    system.service("attribution").start()
    system.run("apply", "-f", file(tmp_path, "prices.yaml", PRICES), "-f", file(tmp_path, "rules.yaml", EVERY_SOURCE))
    publish(system, "search", 3, team="search")
    publish(system, "ads", 1, team="ads")

    # The invoice of the calls that were measured, and a tax on it.
    bill(system, "1", "test", "external_apis", "API", 9, team="search")
    bill(system, "2", "test", "external_apis", "API", "0.5", charge_category="Tax")
    # A shared database, a bucket nobody can share yet, machines the GPU agent measures.
    bill(system, "3", "aws", "data_storage", "vector-db", 10)
    bill(system, "4", "aws", "data_storage", "bucket", 5, team="search", consumed_quantity=0, consumed_unit="GB-Mo")
    bill(system, "5", "aws", "compute_inference", "machines", 7, team="search")
    gpu(system, "used", 4, team="platform")
    gpu(system, "idle_owner", 2, team="search")
    gpu(system, "idle", 1)

    report = reallocate(system, "--apply")
    assert {row["source"]: Decimal(row["cost_usd"]) for row in report["sources"]} == {
        "usage": 4 * EACH, "billing": Decimal("31.5"), "gpu": 7,
    }  # fmt: skip
    assert [(row["rule"], Decimal(row["cost_usd"])) for row in report["unallocated"]] == [
        ("buckets", 5), ("", Decimal("0.5")),
    ]  # fmt: skip
    kinds = "select source, kind, reason, team, sum(cost_usd) from {} group by all order by all"
    assert system.query(kinds.format("v_allocated")) == [
        ("billing", "allocated", "", "ads", Decimal("2.5")),
        ("billing", "allocated", "", "search", Decimal("7.5")),
        ("billing", "unallocated", "metric storage_bytes sums to zero in the period", "unallocated", Decimal(5)),
        ("billing", "unallocated", "no owner in the tags of the invoice line", "unallocated", Decimal("0.5")),
        ("gpu", "allocated", "", "ads", Decimal(1)),
        ("gpu", "allocated", "", "search", Decimal(3)),
        ("gpu", "idle", "idle", "unallocated", Decimal(1)),
        ("gpu", "idle", "idle:search", "search", Decimal(2)),
        ("usage", "direct", "", "ads", EACH),
        ("usage", "direct", "", "search", 3 * EACH),
    ]
    elsewhere = "select counted_in, service, team, cost_usd from v_counted_elsewhere order by cost_usd"
    assert system.query(elsewhere) == [("gpu", "machines", "search", 7), ("usage", "API", "search", 9)]

    assert_focus_says_the_same(system)
    focus = "select x_Source, x_Kind, x_CountedIn, sum(BilledCost) from v_focus group by all order by all"
    assert system.query(focus) == [("gpu", "charge", None, 7), ("usage", "charge", None, 4 * EACH)]

    # The statements say what each team is charged for, and by which rule; together they are every dollar.
    chargeback = json.loads(system.run("report", "chargeback", "--period", MONTH, "--json").stdout)
    statements = {statement["team"]: statement for statement in chargeback["statements"]}
    for statement in statements.values():
        assert sum(Decimal(item["cost_usd"]) for item in statement["items"]) == Decimal(statement["total_usd"])
    ads = {(item["service"], item["why"]): Decimal(item["cost_usd"]) for item in statements["ads"]["items"]}
    assert ads == {("ranker", ""): EACH, ("vector-db", "vector-db"): Decimal("2.5"), ("", "pool"): 1}
    total = system.value("select sum(cost_usd) from v_allocated")
    assert sum(Decimal(statement["total_usd"]) for statement in statements.values()) == total
    assert sum(Decimal(row["cost_usd"]) for row in chargeback["rows"]) == total

    # A rule can say that the invoice counts, not the calls.
    system.run("apply", "-f", file(tmp_path, "invoice.yaml", INVOICE))
    reallocate(system, "--apply")
    assert spent(system, "v_chargeback_month", "direct") == {"search": 9}
    assert system.query(elsewhere)[:2] == [
        ("billing", "ranker", "ads", EACH),
        ("billing", "ranker", "search", 3 * EACH),
    ]
    assert_focus_says_the_same(system)
    system.run("delete", "AttributionRule/invoice")
    reallocate(system, "--apply")

    # A corrected invoice moves what it changes, at once and in the next version.
    bill(system, "6", "aws", "data_storage", "vector-db", -4)
    assert system.value("select sum(cost_usd) from v_chargeback_month") == Decimal("18.5") + 4 * EACH
    assert moved(reallocate(system, "--apply")) == {("ads", "unallocated"): 1, ("search", "unallocated"): 3}
    assert spent(system, "v_chargeback_month", "allocated") == {"ads": Decimal("2.5"), "search": Decimal("7.5")}
    assert reallocate(system)["is_new"] is False
    assert_focus_says_the_same(system)


def bill(
    system: Installation, line_id: str, provider: str, category: str, service: str, usd: Any, **columns: Any
) -> None:
    row = {
        "org": "default", "line_id": line_id, "version": 1, "billing_period_start": MONTH_START,
        "provider": provider, "provider_name": provider, "team": "unallocated", "spend_category": category,
        "service_name": service, "charge_category": "Usage", "billed_cost": Decimal(usd),
        **columns,
    }  # fmt: skip
    connect(system.settings).insert("billing_items", [list(row.values())], column_names=list(row))


def gpu(system: Installation, kind: str, usd: int, **columns: str) -> None:
    row = {
        "org": "default", "ts": WHEN, "gpu_uuid": f"GPU-{kind}", "interval_ms": 1_000, "cost_usd": Decimal(usd),
        "shares.share": [0.5], "shares.kind": [kind], "shares.cost_usd": [Decimal(usd)],
        **{f"shares.{name}": [value] for name, value in columns.items()},
    }  # fmt: skip
    connect(system.settings).insert("gpu_costs", [list(row.values())], column_names=list(row))
