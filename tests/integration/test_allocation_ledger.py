"""A version of an allocation is written once, whoever writes it and however often."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from spendstream.domain.allocation import SourceRow, allocate, difference, digest
from spendstream.operations import allocation_ledger as ledger
from spendstream.operations.allocation_ledger import Month, Version
from spendstream.operations.reallocation import OvertakenError, Reallocation, UnusableRuleError, compute, write
from spendstream.operations.store import Store
from tests.support.allocation import LAST_MONTH, row, rule
from tests.support.installation import Installation

pytestmark = pytest.mark.embedded

NEXT_MONTH = Month.parse(f"{LAST_MONTH.end:%Y-%m}")
NOW = datetime.combine(LAST_MONTH.end, time(), UTC)
#: More than fits a 64-bit count of pico-dollars, less than nothing, and the smallest there is.
COSTS = [
    row("98765432109.000000000001", team="search", service='it\'s a "quote"\n'),
    row("-3.5", source="billing", category="licensing", kind="unallocated", reason="no owner"),
    row("0.000000000001", source="gpu", team="ads", kind="idle", reason="idle:ads"),
    row("12", category="data_storage", team="platform"),
]


def made(costs: list[SourceRow], base: int = 0, **shares: int) -> Reallocation:
    amounts = allocate(costs, [rule(model="fixed", shares=shares)])
    return Reallocation("default", LAST_MONTH, base, [], {}, amounts, amounts, 7, NOW)


def test_what_was_written_is_read_back_exactly_and_once(installation: Installation) -> None:
    store = Store(installation.settings)
    assert ledger.newest(store, "default", LAST_MONTH) == (0, {})
    first = made(COSTS, ads=1)
    for _ in range(3):
        asyncio.run(write(installation.settings, store, first, NOW))
    known = ledger.newest(store, "default", LAST_MONTH)
    assert known == (1, first.amounts) and digest(known.amounts) == first.digest
    assert ledger.digest_of(store, "default", LAST_MONTH, 1) == first.digest
    assert ledger.newest(store, "acme", LAST_MONTH) == ledger.newest(store, "default", NEXT_MONTH) == (0, {})

    # Another writer of the same number comes too late, and is told.
    with pytest.raises(OvertakenError):
        asyncio.run(write(installation.settings, store, made(COSTS, search=1), NOW))
    assert ledger.newest(store, "default", LAST_MONTH) == known

    # The next version holds the difference; the moment before it still has the first.
    second = made(COSTS[1:], search=1)
    changes = difference(first.amounts, second.amounts)
    version = Version("default", LAST_MONTH, 2, changes, second.digest, 9, NOW, NOW + timedelta(hours=1))
    asyncio.run(ledger.write(installation.settings, version))
    assert ledger.newest(store, "default", LAST_MONTH) == (2, second.amounts)
    total = installation.value(f"select sum(cost_usd) from allocations where known_at < '{NOW:%Y-%m-%d} 00:30:00'")
    assert total == sum(ledger.usd_from_pico(cost.cost_pico_usd) for cost in COSTS)
    versions = "select month, version, change_usd, control_offset from v_allocation_versions order by version"
    assert installation.query(versions) == [
        (LAST_MONTH.start, 1, total, 7), (LAST_MONTH.start, 2, -ledger.usd_from_pico(COSTS[0].cost_pico_usd), 9),
    ]  # fmt: skip


def test_a_version_that_expired_charges_could_explain_is_refused_unless_it_is_meant(installation: Installation) -> None:
    def rated(event_id: str, days_ago: int) -> None:
        installation.query(
            "insert into charges (org, event_id, ts, team, category, status, cost_usd, rated_at) values ('default',"
            f" '{event_id}', '2020-03-05', 'search', 'external_apis', 'priced', 2, now() - 86400 * {days_ago})"
        )

    apply = ("reallocate", "--period", "2020-03", "--apply")
    shown = "select sum(cost_usd) from v_allocated where month = '2020-03-01'"
    written = "select sum(cost_usd) from allocations"
    # The month is long ago, but it was imported lately: it goes on like any other.
    rated("a", 3)
    installation.run(*apply)
    rated("b", 399)
    assert installation.value(shown) == 4
    installation.run(*apply)
    assert installation.value(written) == installation.value(shown) == 4

    # Two days later the oldest has expired: the newest allocation stands.
    for change in (
        "charges delete where event_id = 'b'",
        "allocations update oldest_rated_at = now() - 86400 * 401 where 1",
    ):
        installation.query(f"alter table {change} settings mutations_sync = 1")
    refused = installation.run(*apply, check=False)
    assert refused.returncode == 1 and "400 days" in refused.stderr
    assert installation.value(written) == installation.value(shown) == 4
    installation.run(*apply, "--force")
    assert installation.value(written) == installation.value(shown) == 2


def test_gpu_readings_expire_like_charges(installation: Installation) -> None:
    rated = datetime.now(UTC).replace(microsecond=0) - timedelta(days=200)
    installation.query(
        f"insert into gpu_costs (org, gpu_uuid, ts, rated_at) values ('default', 'g', '2020-03-05', '{rated:%F %T}')"
    )
    found = ledger.oldest_rated_at(Store(installation.settings), "default", Month.parse("2020-03"))
    assert found == rated


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
    # default: $1 of a gateway nobody owns and a call of search last month, $1 of the gateway after it; acme: its own.
    first, last, after = LAST_MONTH.start, LAST_MONTH.end - timedelta(days=1), LAST_MONTH.end
    installation.query(
        "insert into charges (org, event_id, ts, team, service, category, status, requests, cost_usd) values"
        f" ('default', 'a', '{last} 23:59:59.999999', '', 'gateway', 'external_apis', 'priced', 0, 1),"
        f" ('default', 'b', '{first} 00:00:00', 'search', 'ranker', 'external_apis', 'priced', 1, 2),"
        f" ('default', 'c', '{after} 00:00:00', 'ads', 'gateway', 'external_apis', 'priced', 1, 1),"
        f" ('acme', 'a', '{first} 00:00:00', 'sales', 'gateway', 'external_apis', 'priced', 1, 5)"
    )
    share = {"match": {"service": "gateway"}, "model": "proportional", "metric": "requests"}
    give = {"match": {"service": "gateway"}, "model": "fixed", "shares": {"board": 1}}
    rules = [Document("default", "gateway", share), Document("acme", "gateway", give)]
    store = Store(installation.settings)
    acme, default = compute(store, rules, 3, LAST_MONTH)
    assert [(made.org, made.version, made.source_change_pico_usd) for made in (acme, default)] == [
        ("acme", 1, 5 * 10**12), ("default", 1, 3 * 10**12),
    ]  # fmt: skip
    assert [tuple(move) for move in (*acme.moves, *default.moves)] == [
        ("usage", "external_apis", "sales", "board", 5 * 10**12),
        ("usage", "external_apis", "unallocated", "search", 10**12),
    ]
    (only,) = compute(store, rules, 3, LAST_MONTH, "acme")
    assert only.digest == acme.digest
    asyncio.run(write(installation.settings, store, default, NOW))
    shown = "select month, team, sum(cost_usd) as usd from v_allocated where org = 'default' group by all order by all"
    assert installation.query(shown) == [(LAST_MONTH.start, "search", 3), (LAST_MONTH.end, "ads", 1)]

    with pytest.raises(UnusableRuleError, match=r"AttributionRule/old of acme .* shares"):
        compute(store, [Document("acme", "old", {**give, "shares": {"board": 2}})], 3, LAST_MONTH)


def test_every_query_of_the_page_can_be_asked(installation: Installation) -> None:
    page = (Path(__file__).parents[2] / "docs/allocation.md").read_text()
    queries = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    assert len(queries) == 5
    asyncio.run(write(installation.settings, Store(installation.settings), made(COSTS, ads=1), NOW))
    for query in queries:
        installation.query(query)
