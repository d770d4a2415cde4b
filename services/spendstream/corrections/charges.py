"""Charges as they stand, a chunk of time at a time: enough of each to rate and to correct it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import polars as pl

from spendstream.domain.tokens import BUCKETS
from spendstream.runtime.clickhouse.writer import ClickHouse

CHUNK_ROWS: Final = 500_000
MINUTE_US: Final = 60_000_000
TEXTS: Final = (
    "org", "event_id", "team", "project", "environment", "cost_center", "service", "feature", "user_id", "api_key_id",
    "provider", "model", "reported_provider", "reported_model", "category", "region", "tier", "call_status", "status",
    "price_id", "incarnation",
)  # fmt: skip
#: Exact: pico-dollars are the unscaled value of Decimal(38, 12), and a charge fits 64 bits.
PICO: Final = "toInt64(cost_usd * 1000000000000)"
_NUMBERS: Final = {
    "occurred_at": "toUnixTimestamp64Micro(ts)",
    "source_partition": "toInt64(partition)",
    "source_offset": "offset",
    "item": "toInt64(item)",
    "revision": "toInt64(revision)",
    "requests": "requests",
    "cost_pico_usd": PICO,
    **{f"{bucket}_tokens": f"{bucket}_tokens" for bucket in BUCKETS},
}
_COLUMNS: Final = ", ".join(
    [*(f"{name} as {name}_" for name in TEXTS), *(f"{sql} as {name}_" for name, sql in _NUMBERS.items())]
)
#: Names that repeat come as they are stored, once each: a third of the bytes and of the time.
_AS_STORED: Final = {"output_format_arrow_low_cardinality_as_dictionary": 1}


@dataclass(frozen=True)
class Period:
    """Charges of [since, until), microseconds; `conditions` are SQL over v_charges, bound by `parameters`.

    `over_sums` says the same over roll-ups, which know no reported names.
    """

    since: int
    until: int
    conditions: Sequence[str] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    over_sums: Sequence[str] = ()

    def where(self) -> str:
        """The period and the conditions as SQL over v_charges."""
        return self._and(self.conditions)

    def where_in_sums(self) -> str:
        """The same over roll-ups; it also holds over charges."""
        return self._and(self.over_sums)

    def _and(self, conditions: Sequence[str]) -> str:
        return " and ".join([f"ts >= {moment(self.since)}", f"ts < {moment(self.until)}", *conditions])

    def between(self, since: int, until: int) -> "Period":
        """The part of it in [since, until)."""
        return replace(self, since=max(since, self.since), until=min(until, self.until))


def moment(micros: int) -> str:
    """Microseconds since the epoch as ClickHouse's DateTime64(6, 'UTC')."""
    return f"fromUnixTimestamp64Micro(toInt64({micros}), 'UTC')"


async def chunks(clickhouse: ClickHouse, period: Period) -> list[tuple[Period, int]]:
    """The period in parts of whole minutes with about CHUNK_ROWS charges, each with its number of charges."""
    rows = await clickhouse.query(
        f"select toUnixTimestamp(toStartOfMinute(ts)) as minute, count() from v_charges where {period.where()}"
        " group by minute order by minute",
        period.parameters,
    )
    return [
        (period.between(first * 1_000_000, last * 1_000_000 + MINUTE_US), count)
        for first, last, count in _joined((int(minute), int(count)) for minute, count in rows)
    ]


def _joined(minutes: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Consecutive minutes together as long as they hold at most CHUNK_ROWS: first, last, charges."""
    first = last = count = 0
    for minute, more in minutes:
        if count and count + more > CHUNK_ROWS:
            yield first, last, count
            count = 0
        first, last, count = (first if count else minute), minute, count + more
    if count:
        yield first, last, count


async def read(clickhouse: ClickHouse, parts: Sequence[tuple[Period, int]]) -> AsyncIterator[pl.DataFrame]:
    """Charges of each part, in any order: columns TEXTS, positions, `revision`, tokens and `cost_pico_usd`.

    Texts are strings or categories of them. The next part is asked for while the caller has one.
    """
    asked: deque[asyncio.Task[pl.DataFrame]] = deque()
    try:
        for part, _ in parts:
            asked.append(asyncio.create_task(_charges_of(clickhouse, part)))
            if len(asked) > 1:
                yield await asked.popleft()
        while asked:
            yield await asked.popleft()
    finally:
        for task in asked:
            task.cancel()


async def _charges_of(clickhouse: ClickHouse, part: Period) -> pl.DataFrame:
    table = await clickhouse.query_arrow(
        f"select {_COLUMNS}, cache_hit from v_charges where {part.where()}", part.parameters, _AS_STORED
    )
    frame = pl.DataFrame(pl.from_arrow(table)).rename({f"{name}_": name for name in (*TEXTS, *_NUMBERS)})
    return frame.with_columns(
        pl.col("cache_hit").cast(pl.Boolean), pl.col("status", "price_id").cast(pl.String),
        pl.col(list(_NUMBERS)).cast(pl.Int64),
    )  # fmt: skip
