"""The versions of a month's allocation in ClickHouse, and what the sources say of the month."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from spendstream.domain.allocation import Amounts, Days, Placement, SourceRow, Tags
from spendstream.domain.allocation.model import DIMENSIONS, TAGS, Origin
from spendstream.domain.money import pico_from_usd, usd_from_pico
from spendstream.operations.store import Store
from spendstream.runtime.clickhouse.money import USD
from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.settings import Settings

ORIGIN = (
    "source", "category", "provider", "service", "also_in", "from_kind", "from_reason",
    *(f"from_{tag}" for tag in TAGS),
)  # fmt: skip
PLACE = ("rule", "model", "counted_in", "kind", "reason", *TAGS)
TABLE = "allocations"


class Month(NamedTuple):
    """A calendar month, UTC; `end` is exclusive."""

    start: date
    end: date

    @classmethod
    def parse(cls, text: str) -> "Month":
        """`2026-11`; ValueError for anything else."""
        start = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
        end = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        return cls(start, end)


class Known(NamedTuple):
    """The newest version of a month (number 0: there is none) and the allocation it leaves."""

    version: int
    amounts: Amounts


class Version(NamedTuple):
    """A version to be written; `changes` is what it adds to the one before."""

    org: str
    month: Month
    number: int
    changes: Amounts
    digest: str
    control_offset: int
    oldest_rated_at: datetime
    known_at: datetime


def organisations(store: Store, month: Month) -> Sequence[str]:
    """Those with cost or an allocation in the month."""
    rows = store.rows(
        "select distinct org from (select org from v_allocation_source where month = %(month)s"
        f" union all select org from {TABLE} where period_start = %(month)s) order by org",
        month=month.start,
    )
    return [str(org) for (org,) in rows]


def sources(store: Store, org: str, month: Month, edges: Sequence[date] = ()) -> Sequence[SourceRow]:
    """What every source says of an organisation's month.

    `edges`: days within it on which something begins or ends. Cost and usage between two of them are one row; what
    occurred across one has the days it occurred on.
    """
    keys = f"{', '.join(DIMENSIONS)}, also_in, kind, reason"
    rows = store.rows(
        f"with cast(%(bounds)s as Array(Date)) as bounds"
        f" select {keys}, sum(part.cost_usd) as usd, sumMap(part.metrics) as used, first, until"
        " from (select *, arrayCount(bound -> bound <= first_day, bounds) as began,"
        " arrayCount(bound -> bound <= last_day, bounds) as ended,"
        " if(began = ended, bounds[began], first_day) as first,"
        " if(began = ended, bounds[began + 1], last_day + 1) as until"
        " from v_allocation_source where org = %(org)s and month = %(month)s) as part"
        f" group by {keys}, first, until",
        org=org, month=month.start, bounds=[month.start, *edges, month.end],
    )  # fmt: skip
    return [_source_row(row) for row in rows]


def _source_row(row: Sequence[Any]) -> SourceRow:
    also_in, kind, reason, cost_usd, metrics, first, until = row[len(DIMENSIONS) :]
    quantities: Mapping[str, Decimal] = metrics
    return SourceRow(
        dict(zip(DIMENSIONS, row, strict=False)), also_in, kind, reason, pico_from_usd(cost_usd),
        {name: pico_from_usd(quantity) for name, quantity in quantities.items()}, Days(first, until),
    )  # fmt: skip


def newest(store: Store, org: str, month: Month) -> Known:
    """The newest version: the sum over all versions."""
    where = f"from {TABLE} where org = %(org)s and period_start = %(month)s"
    columns = ", ".join((*ORIGIN, *PLACE))
    version = store.rows(f"select max(version) {where}", org=org, month=month.start)[0][0]
    rows = store.rows(
        f"select {columns}, sum(cost_usd) as usd {where} and version <= %(version)s group by {columns} having usd != 0",
        org=org, month=month.start, version=version,
    )  # fmt: skip
    return Known(version, {_placement(row): pico_from_usd(row[-1]) for row in rows})


def _placement(row: Sequence[Any]) -> Placement:
    source, category, provider, service, also_in, kind, reason, *origin_tags = row[: len(ORIGIN)]
    came_from = Origin(source, category, provider, service, also_in, kind, reason, Tags(*origin_tags))
    rule, model, counted_in, kind, reason, *tags = row[len(ORIGIN) : len(ORIGIN) + len(PLACE)]
    return Placement(came_from, rule, model, counted_in, kind, reason, Tags(*tags))


def oldest_rated_at(store: Store, org: str, month: Month) -> datetime:
    """When the oldest charge or GPU reading was rated that the month's versions are, or the next will be, made from."""
    within = "org = %(org)s and ts >= %(start)s and ts < %(end)s having count() > 0"
    rows = store.rows(
        f"select least((select min(rated_at) from charges where {within}),"
        f" (select min(rated_at) from gpu_costs where {within}),"
        " (select min(oldest_rated_at) from allocations where org = %(org)s and period_start = %(start)s"
        " having count() > 0), now64(6))",
        org=org, start=month.start, end=month.end,
    )  # fmt: skip
    found: datetime = rows[0][0]
    return found


def digest_of(store: Store, org: str, month: Month, version: int) -> str | None:
    """The digest of a version; None when there is no such version."""
    rows = store.rows(
        f"select any(digest) from {TABLE} where org = %(org)s and period_start = %(month)s and version = %(version)s"
        " having count() > 0",
        org=org, month=month.start, version=version,
    )  # fmt: skip
    return str(rows[0][0]) if rows else None


async def write(settings: Settings, version: Version) -> None:
    """Insert a version as one block, in a single try (`NotNowError`: nobody knows whether it is there).

    The token names the version, not its content: of two writers of the same number the second changes nothing.
    """
    clickhouse = ClickHouse(settings, threads=1)
    try:
        token = f"{version.org}/{version.month.start}/{version.number}"
        await clickhouse.insert_once(TABLE, _table(version), token)
    finally:
        clickhouse.close()


def _table(version: Version) -> pa.Table:
    placements = sorted(version.changes)
    flat = [(*_flat_origin(placement.origin), *placement[1:-1], *placement.tags) for placement in placements]
    columns: dict[str, Any] = {
        name: pa.array([row[i] for row in flat], pa.string()) for i, name in enumerate((*ORIGIN, *PLACE))
    }
    constants = {
        "org": (version.org, pa.string()),
        "period_start": (version.month.start, pa.date32()),
        "period_end": (version.month.end, pa.date32()),
        "version": (version.number, pa.uint32()),
        "digest": (version.digest, pa.string()),
        "control_offset": (version.control_offset, pa.int64()),
        "oldest_rated_at": (version.oldest_rated_at, pa.timestamp("us", "UTC")),
        "known_at": (version.known_at, pa.timestamp("us", "UTC")),
    }
    columns |= {name: pa.array([value] * len(flat), kind) for name, (value, kind) in constants.items()}
    columns["cost_usd"] = pa.array([usd_from_pico(version.changes[placement]) for placement in placements], USD)
    return pa.table(columns)


def _flat_origin(origin: Origin) -> tuple[str, ...]:
    return (*origin[:-1], *origin.tags)
