"""A version of an allocation is written once, whoever writes it and however often."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from spendstream.domain.allocation import SourceRow, allocate, difference, digest
from spendstream.operations import allocation_ledger as ledger
from spendstream.operations.allocation_ledger import Month, Version
from spendstream.operations.reallocation import OvertakenError, Reallocation, UnusableRuleError, compute, write
from spendstream.operations.store import Store
from tests.support.allocation import row, rule
from tests.support.installation import Installation

pytestmark = pytest.mark.embedded

MARCH = Month.parse("2026-03")
NOW = datetime(2026, 4, 1, tzinfo=UTC)
#: More than fits a 64-bit count of pico-dollars, less than nothing, and the smallest there is.
COSTS = [
    row("98765432109.000000000001", team="search", service='it\'s a "quote"\n'),
    row("-3.5", source="billing", category="licensing", kind="unallocated", reason="no owner"),
    row("0.000000000001", source="gpu", team="ads", kind="idle", reason="idle:ads"),
    row("12", category="data_storage", team="platform"),
]


def made(costs: list[SourceRow], base: int = 0, **shares: int) -> Reallocation:
    amounts = allocate(costs, [rule(model="fixed", shares=shares)])
    return Reallocation("default", MARCH, base, [], {}, amounts, amounts, 7)


def test_what_was_written_is_read_back_exactly_and_once(installation: Installation) -> None:
    store = Store(installation.settings)
    assert ledger.newest(store, "default", MARCH) == (0, {})
    first = made(COSTS, ads=1)
    for _ in range(3):
        asyncio.run(write(installation.settings, store, first, NOW))
    known = ledger.newest(store, "default", MARCH)
    assert known == (1, first.amounts) and digest(known.amounts) == first.digest
    assert ledger.digest_of(store, "default", MARCH, 1) == first.digest
    assert ledger.newest(store, "acme", MARCH) == ledger.newest(store, "default", Month.parse("2026-04")) == (0, {})

    # Another writer of the same number comes too late, and is told.
    with pytest.raises(OvertakenError):
        asyncio.run(write(installation.settings, store, made(COSTS, search=1), NOW))
    assert ledger.newest(store, "default", MARCH) == known

    # The next version holds the difference; the moment before it still has the first.
    second = made(COSTS[1:], search=1)
    changes = difference(first.amounts, second.amounts)
    version = Version("default", MARCH, 2, changes, second.digest, 9, NOW + timedelta(hours=1))
    asyncio.run(ledger.write(installation.settings, version))
    assert ledger.newest(store, "default", MARCH) == (2, second.amounts)
    total = installation.value("select sum(cost_usd) from allocations where known_at < '2026-04-01 00:30:00'")
    assert total == sum(ledger.usd_from_pico(cost.cost_pico_usd) for cost in COSTS)
    versions = "select month, version, change_usd, control_offset from v_allocation_versions order by version"
    assert installation.query(versions) == [
        (MARCH.start, 1, total, 7), (MARCH.start, 2, -ledger.usd_from_pico(COSTS[0].cost_pico_usd), 9),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-11-01", "november", "", "26-11"])
def test_only_months_are_periods(text: str) -> None:
    with pytest.raises(ValueError):
        Month.parse(text)


def test_a_month_ends_where_the_next_begins() -> None:
    assert Month.parse("2026-12").end == Month.parse("2027-01").start


@dataclass(frozen=True)
class Document:
    """An applied rule."""

    org: str
    name: str
    spec: Mapping[str, Any]


def test_organisations_and_months_never_see_each_other(installation: Installation) -> None:
    # default: $1 of the gateway and a request of each team in March, $1 in April; acme: the same services, other teams.
    installation.query(
        "insert into charges (org, event_id, ts, team, service, category, status, requests, cost_usd) values"
        " ('default', 'a', '2026-03-31 23:59:59.999999', '', 'gateway', 'external_apis', 'priced', 0, 1),"
        " ('default', 'b', '2026-03-01 00:00:00', 'search', 'ranker', 'external_apis', 'priced', 1, 2),"
        " ('default', 'c', '2026-04-01 00:00:00', 'ads', 'gateway', 'external_apis', 'priced', 1, 1),"
        " ('acme', 'a', '2026-03-05 00:00:00', 'sales', 'gateway', 'external_apis', 'priced', 1, 5)"
    )
    share = {"match": {"service": "gateway"}, "model": "proportional", "metric": "requests"}
    give = {"match": {"service": "gateway"}, "model": "fixed", "shares": {"board": 1}}
    rules = [Document("default", "gateway", share), Document("acme", "gateway", give)]
    store = Store(installation.settings)
    acme, default = compute(store, rules, 3, MARCH)
    assert [(made.org, made.version, made.source_change_pico_usd) for made in (acme, default)] == [
        ("acme", 1, 5 * 10**12), ("default", 1, 3 * 10**12),
    ]  # fmt: skip
    assert [tuple(move) for move in (*acme.moves, *default.moves)] == [
        ("usage", "external_apis", "sales", "board", 5 * 10**12),
        ("usage", "external_apis", "unallocated", "search", 10**12),
    ]
    (only,) = compute(store, rules, 3, MARCH, "acme")
    assert only.digest == acme.digest
    asyncio.run(write(installation.settings, store, default, NOW))
    shown = "select month, team, sum(cost_usd) as usd from v_allocated where org = 'default' group by all order by all"
    assert installation.query(shown) == [(MARCH.start, "search", 3), (MARCH.end, "ads", 1)]

    with pytest.raises(UnusableRuleError, match=r"AttributionRule/old of acme .* shares"):
        compute(store, [Document("acme", "old", {**give, "shares": {"board": 2}})], 3, MARCH)


def test_every_query_of_the_page_can_be_asked(installation: Installation) -> None:
    page = (Path(__file__).parents[2] / "docs/allocation.md").read_text()
    queries = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    assert len(queries) == 5
    asyncio.run(write(installation.settings, Store(installation.settings), made(COSTS, ads=1), NOW))
    for query in queries:
        installation.query(query)
