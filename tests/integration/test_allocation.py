"""Shared cost through public commands: shown first, written once, changed only by another version."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation
from tests.support.usage import PRICES, numbered

pytestmark = pytest.mark.embedded

EACH = Decimal("0.0013")
MONTH = "2026-03"
AT = int(datetime(2026, 3, 14, 12, tzinfo=UTC).timestamp()) * 1_000_000
RULES = """
kind: AttributionRule
name: gateway
spec:
  match: {service: gateway}
  model: proportional
  metric: requests
  over: {service: ranker}
"""
SHARES = "kind: AttributionRule\nname: gateway\nspec: {match: {service: gateway}, model: fixed, shares: {ads: 1}}\n"


def file(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def publish(system: Installation, prefix: str, count: int, **fields: Any) -> None:
    before = system.value("select count() from charges")
    system.publish("usage", numbered(prefix, count, occurred_at=AT, **fields))
    system.until("select count() from charges", lambda n: n == before + count)


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
    return {team: usd for team, usd in rows}


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

    # Late usage is seen at once where it occurred, and shared out by the next version.
    publish(system, "late", 20, team="ads")
    assert spent(system, "v_allocated") == {"search": 36 * EACH, "ads": 32 * EACH}
    late = reallocate(system, "--apply")
    assert (late["version"], late["base_version"], Decimal(late["new_cost_usd"])) == (2, 1, 20 * EACH)
    assert moved(late) == {("search", "ads"): 2 * EACH}

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

    # A wrong month is a usage error, an empty one is none.
    assert system.run("reallocate", "--period", "2026-13", check=False).returncode == 2
    assert json.loads(system.run("reallocate", "--period", "2020-01", "--json").stdout)["allocations"] == []
