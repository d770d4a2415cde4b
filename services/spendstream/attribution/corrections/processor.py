"""The processor on `corrections`: each correction that counts becomes part of `costs` and a row of the ledger.

Of two corrections that make the same revision of a charge the first counts (`domain.corrections.Revisions`). What
counts is summed per minute and dimensions like usage, under its own positions, and always in late rows: the
minute was rated long ago. `costs` first, then ClickHouse; a run is done when both have it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from spendstream.attribution.corrections.state import (
    NOTHING,
    PARTS,
    CorrectionFiles,
    CorrectionState,
    by_block,
    rows_of_blocks,
)
from spendstream.attribution.publishing import publish_costs
from spendstream.attribution.usage.cards import RateCards
from spendstream.attribution.usage.rows import hashes_of, row_messages
from spendstream.corrections.rerate import is_known
from spendstream.corrections.standing import incarnation_of
from spendstream.domain.corrections import POSITIONS
from spendstream.rating import BookShelf
from spendstream.runtime import metrics
from spendstream.runtime.clickhouse.money import usd_array
from spendstream.runtime.kafka.columns import decode_columns
from spendstream.runtime.kafka.consume import Run
from spendstream.runtime.kafka.publisher import Message
from spendstream.runtime.kafka.reader import log_bounds, partition_reader
from spendstream.runtime.kafka.topic_id import topic_id
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.service import Context

log = structlog.get_logger()
TOPIC = "corrections"
GROUP = "attribution-corrections"
SNAPSHOT_EVERY_S = 10.0
COUNTS = ("priced_events", "partial_events", "unpriced_events")
TEXTS = (
    "org", "event_id", "team", "project", "environment", "cost_center", "service", "feature", "user_id", "api_key_id",
    "provider", "model", "category", "region", "tier", "call_status", "run_id", "reason", "status_before",
    "status_after", "unpriced_reason_after", "price_id_before", "price_id_after",
)  # fmt: skip


class CorrectionLane:
    """One partition of `corrections`."""

    def __init__(self, state: CorrectionState, files: CorrectionFiles) -> None:
        self.state, self.files = state, files
        #: False while something has been added up but is not published: no time to save.
        self.whole = True
        self.saved_at, self.saved_applied = time.monotonic(), state.applied

    def save(self) -> None:
        self.files.save(self.state)
        self.saved_at, self.saved_applied = time.monotonic(), self.state.applied


class CorrectionProcessor:
    """Turns runs of `corrections` into `costs` and rows of the table `corrections`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._shelf = BookShelf(context.control.log)
        self._cards = RateCards(context.clickhouse)
        self._lanes: dict[int, CorrectionLane] = {}
        #: Told which partitions are held here.
        self.assignment_changed: Callable[[frozenset[int]], None] = lambda partitions: None

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        positions: dict[TP, int] = {}
        for tp in partitions:
            self._lanes[tp.partition] = lane = await self._load(tp)
            positions[tp] = lane.state.applied + 1
            log.info("corrections loaded", partition=tp.partition, position=positions[tp])
        self.assignment_changed(frozenset(self._lanes))
        return positions

    async def revoked(self) -> None:
        self.assignment_changed(frozenset())
        for lane in self._lanes.values():
            if lane.whole and lane.state.applied != lane.saved_applied:
                lane.save()
        self._lanes.clear()

    async def process(self, run: Run) -> None:
        lane = self._lanes[run.partition]
        fresh = run.after(lane.state.applied)
        if fresh is None:
            return
        lane.whole = False
        for records in by_block(fresh.records):
            await self._take(lane, Run(run.topic, run.partition, records))
        lane.whole = True
        if time.monotonic() - lane.saved_at > SNAPSHOT_EVERY_S:
            await asyncio.to_thread(lane.save)

    async def _load(self, tp: TP) -> CorrectionLane:
        """The state of a partition; a fresh one where the topic is not the one the files speak of."""
        settings = self._context.settings
        files = CorrectionFiles(settings.service_home(GROUP) / str(tp.partition))
        try:
            async with partition_reader(settings, tp.topic, tp.partition, 0) as consumer:
                identity = await topic_id(consumer, tp.topic)
                start, end = await log_bounds(consumer, TopicPartition(*tp))
        except (KafkaError, OSError) as error:
            raise NotNowError(f"loading {tp.topic}/{tp.partition}: {error!r}") from error
        known = await asyncio.to_thread(files.load)
        generation = known.generation if known else 0
        if known is not None and known.applied < end and known.incarnation == incarnation_of(identity, generation):
            return CorrectionLane(known, files)
        generation += known is not None
        state = CorrectionState(incarnation_of(identity, generation), generation, applied=start - 1)
        state.lost_until = end if start > 0 else 0
        return CorrectionLane(state, files)

    async def _take(self, lane: CorrectionLane, run: Run) -> None:
        state, publisher = lane.state, self._context.publisher
        taken = await asyncio.to_thread(take_in, state, run, self._context.settings.caller_rows)
        publish = partial(publish_costs, publisher, taken.messages)
        both = (
            retrying("publishing corrections", publish, retry_on=(NotNowError,)),
            self._write(taken.counted, state.incarnation, run.partition),
        )
        await asyncio.gather(*both)
        await self._context.clickhouse.insert("correction_positions", _position(state, run))
        state.applied = run.last
        metrics.corrections_total.labels("counted").inc(taken.counted.height)
        metrics.corrections_total.labels("void").inc(taken.void)

    async def _write(self, counted: pl.DataFrame, incarnation: str, partition: int) -> None:
        if counted.height:
            await self._write_cards(counted)
            table = await asyncio.to_thread(_table, counted, incarnation, partition)
            await self._context.clickhouse.insert("corrections", table)

    async def _write_cards(self, accepted: pl.DataFrame) -> None:
        """The cards of the prices charges have now, before the corrections that name them."""
        named = accepted.select("org", "provider", "model", "tier", pl.col("price_id_after").alias("price_id")).unique()
        book = self._shelf.now()
        for org, provider, model in named.select("org", "provider", "model").unique().rows():
            is_known(org, provider, model, book.prices)  # a book has the cards of what it was asked for
        await self._cards.write(named, book)


@dataclass(frozen=True)
class Taken:
    """What a run comes to: corrections that count, how many do not, and `costs` messages of the rows they change."""

    counted: pl.DataFrame
    void: int
    messages: list[tuple[str, Message]]


def take_in(state: CorrectionState, run: Run, caller_rows: bool) -> Taken:
    """Take a run of records into the state."""
    columns = decode_columns(run.records, "Correction", "CorrectionBatch")
    for reject in columns.rejects:
        log.error("our own correction cannot be read", offset=run.records[reject.record].offset, why=reject.detail)
    offsets = np.array([record.offset for record in run.records], dtype=np.int64)
    appended = np.array([record.timestamp or 0 for record in run.records], dtype=np.int64)
    blocks = state.blocks(offsets, appended)
    found = columns.events.with_columns(
        pl.col("occurred_at", "known_at").cast(pl.Int64),
        pl.Series("offset", offsets[columns.record]),
        pl.Series("position", offsets[columns.record] * POSITIONS + np.maximum(columns.item, 0)),
        pl.Series("block", blocks[columns.record]),
    )
    counted = state.revisions.accept(found)
    if state.torn == NOTHING:
        state.torn = int(blocks[0])
    # What is left of a block whose beginning is gone was summed up and published when it was whole.
    torn = (pl.col("block") == state.torn) & (pl.col("offset") < state.lost_until)
    parts = rows_of_blocks(pl.col("block"), pl.col("position"), pl.col("cost_pico_usd"))
    rows = counted.filter(~torn).with_columns(parts.alias("block"))
    callers = rows.filter((pl.col("user_id") != "") | (pl.col("api_key_id") != ""))
    messages: list[tuple[str, Message]] = []
    last = (run.last + 1) * POSITIONS - 1
    for sums, mine in ((state.owner, rows), (state.caller, callers if caller_rows else callers.clear())):
        sums.close_blocks(int(blocks[0]) * PARTS)
        if (changed := sums.add(mine).with_columns(late=True)).height:
            hashes = hashes_of(sums.grain, changed)
            messages += row_messages(sums.grain, changed, hashes, last, state.incarnation, run.partition)
    return Taken(counted, found.height - counted.height, messages)


def _table(accepted: pl.DataFrame, incarnation: str, partition: int) -> pa.Table:
    """Rows of the table `corrections`."""
    rows = accepted.select(
        *TEXTS, "incarnation",
        pl.col("occurred_at").cast(pl.Datetime("us", "UTC")).alias("ts"),
        pl.col("known_at").cast(pl.Datetime("us", "UTC")),
        pl.col("source_partition").cast(pl.UInt16).alias("partition"),
        pl.col("source_offset").alias("offset"),
        pl.col("item").cast(pl.Int32), pl.col("revision").cast(pl.UInt32),
        *(pl.col(name).cast(pl.Int8) for name in COUNTS),
        pl.lit(incarnation).alias("log_incarnation"), pl.lit(partition, dtype=pl.UInt16).alias("log_partition"),
        pl.col("offset").alias("log_offset"),
    )  # fmt: skip
    table: pa.Table = rows.to_arrow()
    table = table.append_column("cost_usd", usd_array(accepted["cost_pico_usd"].to_numpy()))
    return table.append_column("cost_before_usd", usd_array(accepted["cost_before_pico_usd"].to_numpy()))


def _position(state: CorrectionState, run: Run) -> pa.Table:
    return pa.table(
        {"incarnation": [state.incarnation], "partition": pa.array([run.partition], pa.uint16()), "last": [run.last]}
    )
