"""An old month keeps its contract: rules with dates over every source, with late usage, corrections and invoices."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spendstream.operations.allocation_ledger import Month
from spendstream.operations.reallocation import Reallocation, compute, write
from spendstream.operations.store import Store
from spendstream.runtime.clickhouse.client import connect
from tests.support.installation import Installation

pytestmark = pytest.mark.embedded

NOVEMBER = Month.parse("2026-11")
NOW = datetime(2026, 12, 3, 9, tzinfo=UTC)
EVERY_DOLLAR = """
select source, category, sum(usd) as difference from (
  select month, source, category, cost_usd as usd from v_allocated
  union all select month, source, category, cost_usd from v_counted_elsewhere
  union all select month, source, category, -cost_usd from v_allocation_source
) group by source, category having difference != 0
"""


@dataclass(frozen=True)
class Document:
    """An applied rule."""

    name: str
    spec: dict[str, Any]
    org: str = "default"


def contract(name: str, search: str, ads: str, **dates: str) -> Document:
    shares = {"search": Decimal(search), "ads": Decimal(ads)}
    return Document(name, {"match": {"source": "billing"}, "model": "fixed", "shares": shares, **dates})


OLD = contract("contract-old", "0.5", "0.5", effective_to="2026-11-16")
NEW = contract("contract-new", "0.2", "0.8", effective_from="2026-11-16")
GATEWAY = Document("gateway", {
    "match": {"service": "gateway"}, "model": "proportional", "metric": "requests", "over": {"service": "ranker"},
    "effective_from": "2026-11-16",
})  # fmt: skip
POOL = Document("pool", {
    "match": {"source": "gpu"}, "model": "even", "effective_from": "2026-11-10", "effective_to": "2026-11-20",
})  # fmt: skip
RULES = [OLD, NEW, GATEWAY, POOL]


def charge(system: Installation, event_id: str, day: int, team: str, service: str, usd: str, requests: int = 1) -> None:
    row = {
        "org": "default", "event_id": event_id, "ts": datetime(2026, 11, day, 23, 59, 59, 999_999, UTC), "team": team,
        "service": service, "category": "external_apis", "status": "priced", "requests": requests,
        "cost_usd": Decimal(usd), "incarnation": "i", "partition": 0, "offset": int(event_id), "item": -1,
    }  # fmt: skip
    connect(system.settings).insert("charges", [list(row.values())], column_names=list(row))


def correct(system: Installation, event_id: str, day: int, usd: str) -> None:
    row = {
        "org": "default", "event_id": event_id, "ts": datetime(2026, 11, day, tzinfo=UTC), "incarnation": "i",
        "partition": 0, "offset": int(event_id), "item": -1, "revision": 1, "status_after": "priced",
        "cost_usd": Decimal(usd),
    }  # fmt: skip
    connect(system.settings).insert("corrections", [list(row.values())], column_names=list(row))


def bill(system: Installation, line_id: str, usd: str, first: date, last: date) -> None:
    row = {
        "org": "default", "line_id": line_id, "version": 1, "billing_period_start": datetime(2026, 11, 1, tzinfo=UTC),
        "provider": "aws", "provider_name": "aws", "spend_category": "infrastructure", "charge_category": "Usage",
        "charge_period_start": datetime(*first.timetuple()[:3], tzinfo=UTC),
        "charge_period_end": datetime(*last.timetuple()[:3], tzinfo=UTC) + timedelta(days=1),
        "billed_cost": Decimal(usd),
    }  # fmt: skip
    connect(system.settings).insert("billing_items", [list(row.values())], column_names=list(row))


def gpu(system: Installation, day: int, usd: str, kind: str = "used", team: str = "platform") -> None:
    row = {
        "org": "default", "ts": datetime(2026, 11, day, 12, tzinfo=UTC), "gpu_uuid": f"GPU-{day}-{kind}",
        "interval_ms": 1_000, "cost_usd": Decimal(usd), "shares.share": [1.0], "shares.kind": [kind],
        "shares.team": [team], "shares.cost_usd": [Decimal(usd)],
    }  # fmt: skip
    connect(system.settings).insert("gpu_costs", [list(row.values())], column_names=list(row))


def reallocated(system: Installation, rules: Sequence[Document] = RULES) -> Reallocation:
    """The next version, written; and every dollar is there, before and after."""
    store = Store(system.settings)
    assert system.query(EVERY_DOLLAR) == []
    (made,) = compute(store, rules, 7, NOVEMBER)
    asyncio.run(write(system.settings, store, made, NOW))
    assert system.query(EVERY_DOLLAR) == []
    return made


def shared(system: Installation, rule: str) -> dict[str, Decimal]:
    """USD by team (or reason) of what a rule shared out."""
    return dict(system.query(
        "select if(kind = 'allocated', toString(team), reason) as who, sum(cost_usd) from v_allocated"
        f" where rule = '{rule}' group by who"
    ))  # fmt: skip


def moved(made: Reallocation) -> dict[tuple[str, str], Decimal]:
    return {(move.from_bucket, move.to_bucket): Decimal(move.pico_usd).scaleb(-12) for move in made.moves}


def test_each_cost_is_shared_out_by_the_rules_of_its_day_whenever_it_becomes_known(installation: Installation) -> None:
    system = installation
    # Requests of search before the gateway is shared out do not count for it.
    charge(system, "1", 15, "search", "ranker", "1", requests=70)
    charge(system, "2", 16, "search", "ranker", "1", requests=1)
    charge(system, "3", 30, "ads", "ranker", "1", requests=3)
    charge(system, "4", 15, "", "gateway", "5")
    charge(system, "5", 16, "", "gateway", "8")
    # Invoice lines: of a day under each contract, of the whole month, and one that began in October.
    bill(system, "day-15", "10", date(2026, 11, 15), date(2026, 11, 15))
    bill(system, "day-16", "10", date(2026, 11, 16), date(2026, 11, 16))
    bill(system, "month", "100", date(2026, 11, 1), date(2026, 11, 30))
    bill(system, "october", "3", date(2026, 10, 30), date(2026, 10, 31))
    # The pool is shared out evenly on ten days only; what idles stays idle.
    for day in (9, 10, 19, 20):
        gpu(system, day, "2")
    gpu(system, 12, "1", "idle", "")

    first = reallocated(system)
    assert [rule.name for rule in first.rules] == [rule.name for rule in RULES]
    assert shared(system, "contract-old") == {"search": Decimal("31.5"), "ads": Decimal("31.5")}
    assert shared(system, "contract-new") == {"search": 12, "ads": 48}
    assert shared(system, "gateway") == {"search": 2, "ads": 6}
    assert shared(system, "pool") == {"search": 4}
    kinds = dict(system.query("select kind, sum(cost_usd) from v_allocated where source = 'gpu' group by kind"))
    assert kinds == {"direct": 4, "allocated": 4, "idle": 1}
    assert reallocated(system).is_new is False

    # Late usage of the old days changes nothing of the new ones, and the other way round.
    charge(system, "6", 15, "ads", "ranker", "1", requests=1_000)
    assert moved(reallocated(system)) == {("search", "ads"): 2}  # ads was active on a day of the pool
    charge(system, "7", 17, "search", "ranker", "1", requests=4)
    assert moved(reallocated(system)) == {("ads", "search"): 3}  # five requests to three of the gateway's $8
    # A correction and a corrected invoice go to the contract of their days.
    correct(system, "4", 15, "1")
    assert moved(reallocated(system)) == {}
    correct(system, "5", 16, "-4")
    assert moved(reallocated(system)) == {
        ("ads", "unallocated"): Decimal("1.5"),
        ("search", "unallocated"): Decimal("2.5"),
    }
    bill(system, "credit", "-20", date(2026, 11, 2), date(2026, 11, 3))
    assert moved(reallocated(system)) == {("ads", "unallocated"): 10, ("search", "unallocated"): 10}
    assert shared(system, "contract-new") == {"search": 12, "ads": 48}

    # The contract of another year is no rule of this month; the month stands as it was.
    later = contract("contract-2027", "0.9", "0.1", effective_from="2027-01-01")
    assert reallocated(system, [*RULES, later]).is_new is False
    versions = system.query("select sum(change_usd), max(version) from v_allocation_versions")
    assert versions == system.query("select sum(cost_usd), 6 from v_allocation_source")
