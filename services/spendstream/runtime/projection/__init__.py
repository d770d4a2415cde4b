"""Topics into ClickHouse tables: the same record written again is the same row, so at-least-once is enough."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faust
import polars as pl
import pyarrow as pa
import structlog
from faust.types import TP

from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.kafka.columns import decode_columns
from spendstream.runtime.kafka.consume import Run, build_app
from spendstream.runtime.kafka.transport import RunOptions
from spendstream.runtime.settings import Settings
from spendstream.schemas import Undecodable, decode

log = structlog.get_logger()
LINGER_MS = 300
#: A block of few rows costs ClickHouse twice as much a row: what waits is written in large ones.
RECORDS = 100_000


@dataclass(frozen=True)
class Projection:
    """How records of a topic become rows of a table.

    `row(record, offset, key)` gives a row (None to skip); `schema` is the Arrow schema of the table's columns.
    """

    topic: str
    table: str
    schema: pa.Schema
    row: Callable[[Mapping[str, Any] | None, int, bytes | None], Mapping[str, Any] | None]


@dataclass(frozen=True)
class ColumnProjection:
    """The same for a topic with much on it: decoded and written column by column.

    `columns(events)` turns decoded `record` records into the rows of the table.
    """

    topic: str
    table: str
    record: str
    columns: Callable[[pl.DataFrame], pa.Table]


class Projector:
    """Processor that writes every record of its topics to their tables and waits while ClickHouse is away."""

    def __init__(self, clickhouse: ClickHouse, projections: Sequence[Projection | ColumnProjection]) -> None:
        self._clickhouse = clickhouse
        self._projections = projections

    def app(self, settings: Settings, group: str) -> faust.App:
        """Faust app of the projections."""
        topics = sorted({projection.topic for projection in self._projections})
        return build_app(settings, group, topics, self, RunOptions(linger_ms=LINGER_MS, records=RECORDS))

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        return {}

    async def revoked(self) -> None:
        pass

    async def process(self, run: Run) -> None:
        mine = [projection for projection in self._projections if projection.topic == run.topic]
        tables = await asyncio.to_thread(self._tables, mine, run)
        await asyncio.gather(*(self._clickhouse.insert(table, rows) for table, rows in tables))

    def _tables(self, projections: Sequence[Projection | ColumnProjection], run: Run) -> list[tuple[str, pa.Table]]:
        """What a run adds to each table."""
        found: list[tuple[str, pa.Table]] = []
        decoded: list[tuple[Mapping[str, Any] | None, int, bytes | None]] | None = None
        events: dict[str, pl.DataFrame] = {}
        for projection in projections:
            if isinstance(projection, ColumnProjection):
                if projection.record not in events:
                    events[projection.record] = decode_columns(run.records, projection.record).events
                found.append((projection.table, projection.columns(events[projection.record])))
                continue
            if decoded is None:
                decoded = [(self._read(record), record.offset, record.key) for record in run.records]
            rows = [row for record in decoded if (row := projection.row(*record)) is not None]
            columns = {field.name: [row[field.name] for row in rows] for field in projection.schema}
            found.append((projection.table, pa.table(columns, schema=projection.schema)))
        return found

    @staticmethod
    def _read(record: Any) -> Mapping[str, Any] | None:
        if record.value is None:
            return None
        try:
            return decode(record.value)[1]
        except Undecodable as error:
            log.error("our own record cannot be read", offset=record.offset, error=str(error))
            return None
