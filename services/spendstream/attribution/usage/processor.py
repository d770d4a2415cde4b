"""The first cursor: plan a range, publish what it costs. It never waits for ClickHouse.

For each range, in order: rate → judge duplicates → make the plan durable → publish costs and dead letters. A plan that
is in the log is carried out exactly as it stands, by whoever owns the partition next: same boundaries, same prices
(control offset), same duplicates. So everything written downstream is the same whoever writes it, however often.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import polars as pl
import structlog
from faust.types import TP

from spendstream.attribution.limit import RejectGate
from spendstream.attribution.publishing import publish_costs
from spendstream.attribution.usage.batch import RatedBatch, Settled, planned_verdicts, rate, settle
from spendstream.attribution.usage.ledger import RecentRanges
from spendstream.attribution.usage.loading import Loaded, load_partition
from spendstream.attribution.usage.positions import pack_positions
from spendstream.attribution.usage.rows import cost_messages
from spendstream.attribution.usage.state import PartitionState, Redo
from spendstream.domain.attribution.dedup import Verdicts
from spendstream.domain.rollups import NOTHING_TOUCHED, SumOverflowError, Touched
from spendstream.rating import Book, BookShelf
from spendstream.runtime import clock, metrics
from spendstream.runtime.dead_letters import DeadLetters
from spendstream.runtime.kafka.consume import Run
from spendstream.runtime.kafka.incarnations import topic_ids
from spendstream.runtime.kafka.plan_log import Plan, plan_record
from spendstream.runtime.kafka.publisher import Message, Publisher
from spendstream.runtime.kafka.transport import Record
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.service import Context

T = TypeVar("T")
log = structlog.get_logger()
SNAPSHOT_EVERY_S = 10.0
TOPIC = "usage"
OUTCOMES = ("priced", "partial", "unpriced", "duplicate", "rejected")


class Lane:
    """Everything that belongs to one assigned partition."""

    def __init__(self, loaded: Loaded, publisher: Publisher, reject_limit: float) -> None:
        self.state, self.plans, self.snapshots, self.ids = loaded
        self.saved_at = time.monotonic()
        self.gate = RejectGate(publisher, TOPIC, self.state.partition, self.state.incarnation, reject_limit)


class AttributionProcessor:
    """Turns runs of `usage` into plans, `costs` and dead letters."""

    def __init__(self, context: Context, recent: RecentRanges) -> None:
        self._context = context
        self._settings = context.settings
        self._shelf = BookShelf(context.control.log)
        self._letters = DeadLetters(context.publisher, context.service, TOPIC)
        self._recent = recent
        self._lanes: dict[int, Lane] = {}
        # One thread computes; NumPy, Polars and the decoder release the interpreter lock where it matters.
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._allowed_us = self._settings.allowed_lateness_s * 1_000_000
        self.assignment_changed: Callable[[Mapping[int, str]], None] = lambda partitions: None

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        tps = sorted(partitions, key=lambda tp: tp.partition)
        loading = (load_partition(self._context, tp.partition, len(tps)) for tp in tps)
        positions: dict[TP, int] = {}
        for tp, (loaded, position) in zip(tps, await asyncio.gather(*loading), strict=True):
            self._lanes[tp.partition] = Lane(loaded, self._context.publisher, self._settings.reject_limit)
            positions[tp] = position
        self.assignment_changed({p: lane.state.incarnation for p, lane in self._lanes.items()})
        return positions

    async def revoked(self) -> None:
        self._lanes.clear()
        self.assignment_changed({})

    async def lost(self) -> str | None:
        """Why the loaded state is of no use any more: usage was deleted and created again."""
        incarnation = (await topic_ids(self._settings, [TOPIC]))[TOPIC]
        if incarnation and any(lane.state.incarnation != incarnation for lane in self._lanes.values()):
            return f"{TOPIC} was created anew"
        return None

    async def process(self, run: Run) -> None:
        """Carry out every range the buffered records complete; new records become one new range."""
        lane = self._lanes[run.partition]
        state = lane.state
        if (fresh := run.after(state.read)) is not None:
            state.buffer.extend(fresh.records)
            state.read = fresh.last
        while state.buffer:
            redo = state.redo[0] if state.redo else None
            if redo is None:
                records = list(state.buffer)
                await self._new_range(lane, records)
                state.buffer = state.buffer[len(records) :]
            else:
                if state.buffer[-1].offset < redo.plan.last:
                    return
                records = [record for record in state.buffer if record.offset <= redo.plan.last]
                await self._again(lane, records, redo)
                state.buffer = state.buffer[len(records) :]
                state.redo.popleft()
        await self._save_sometimes(lane)

    async def _retrying(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        return await retrying(what, call, retry_on=(NotNowError,))

    async def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._compute, call, *arguments)

    async def _new_range(self, lane: Lane, records: Sequence[Record]) -> None:
        state, started = lane.state, time.perf_counter()
        first, last, book = state.applied + 1, records[-1].offset, self._shelf.now()
        batch = await self._in_thread(rate, records, book, self._settings.kept_attributes)
        reasons = (*batch.reasons, *(reject.reason for reject in batch.columns.rejects))
        await lane.gate.admit(batch.size, len(reasons), reasons)
        verdicts, settled, touched = await self._in_thread(self._settle_new, state, batch, book)
        owner, caller = touched
        plan = plan_record(
            "range", state.incarnation, first, last,
            control_offset=book.control_offset,
            published_through=state.applied,
            watermark=state.watermark,
            oldest_row=min([first, *(t.oldest_epoch for t in (owner, caller) if t.oldest_epoch is not None)]),
            rebuild_from=state.rebuild_from,
            duplicates=pack_positions(verdicts.duplicate),
            conflicts=pack_positions(verdicts.conflict),
            overflows=pack_positions(verdicts.overflow),
            **settled.counts,
        )  # fmt: skip
        metrics.batch_seconds.labels("rate").observe(time.perf_counter() - started)
        with self._recent.announced(state.incarnation, state.partition, first, last):
            # A retry of an append that did arrive is fenced, and the reload finds the plan in the log.
            planned: Plan = await self._retrying("planning", lambda: lane.plans.append(plan))
            self._recent.put(planned, state.partition, settled.counted)
        state.plan_at = planned.at
        await self._remember(lane, batch, verdicts, first, last)
        await self._retrying("publishing", lambda: self._publish(lane, settled, touched, last))
        self._done(lane, settled, last)
        metrics.batch_seconds.labels("whole").observe(time.perf_counter() - started)

    async def _again(self, lane: Lane, records: Sequence[Record], redo: Redo) -> None:
        """Carry out a range as its plan says."""
        state, plan = lane.state, redo.plan
        if not records:
            log.critical("a planned range is no longer in the topic", partition=state.partition, first=plan.first)
            state.applied = max(state.applied, plan.last)
            return
        book = self._shelf.at(int(plan.record["control_offset"]))
        if redo.rows:
            state.watermark = int(plan.record["watermark"])
        batch = await self._in_thread(rate, records, book, self._settings.kept_attributes)
        verdicts = planned_verdicts(batch, plan.record)
        settled, touched = await self._in_thread(self._settle, state, batch, verdicts, book, redo.rows)
        if redo.ids:
            await self._remember(lane, batch, verdicts, plan.first, plan.last)
        if redo.publish:
            await self._retrying("publishing", lambda: self._publish(lane, settled, touched, plan.last))
        if redo.rows:
            state.plan_at = plan.at
            self._done(lane, settled, plan.last)

    def _settle_new(
        self, state: PartitionState, batch: RatedBatch, book: Book
    ) -> tuple[Verdicts, Settled, tuple[Touched, Touched]]:
        verdicts = self._judge(state, batch)
        while True:
            try:
                return verdicts, *self._settle(state, batch, verdicts, book)
            except SumOverflowError as error:  # these events are refused: an int64 sum is checked, never wrapped
                overflow = np.zeros(verdicts.new.size, dtype=bool)
                overflow[np.flatnonzero(verdicts.new)[error.events]] = True
                verdicts = verdicts.without(overflow)

    def _settle(
        self, state: PartitionState, batch: RatedBatch, verdicts: Verdicts, book: Book, rows: bool = True
    ) -> tuple[Settled, tuple[Touched, Touched]]:
        settled = settle(batch, verdicts, book, state.watermark, self._allowed_us)
        if rows:
            return settled, self._add_rows(state, settled)
        return settled, (NOTHING_TOUCHED, NOTHING_TOUCHED)

    def _judge(self, state: PartitionState, batch: RatedBatch) -> Verdicts:
        """Verdicts over the valid events; the others are rejected already."""
        if batch.valid.all():
            return state.dedup.judge(batch.ids, batch.content)
        among = state.dedup.judge(batch.ids[batch.valid], batch.content[batch.valid])
        full = [np.zeros(batch.valid.size, dtype=bool) for _ in range(4)]
        for flags, found in zip(full, (among.new, among.duplicate, among.conflict, among.overflow), strict=True):
            flags[batch.valid] = found
        return Verdicts(*full)

    def _add_rows(self, state: PartitionState, settled: Settled) -> tuple[Touched, Touched]:
        owner = state.owner.prepare(settled.counted)  # its rows are finer than the callers': these overflow first
        called = settled.counted.select((pl.col("user_id") != "") | (pl.col("api_key_id") != "")).to_series()
        callers = settled.counted.filter(called)
        try:
            caller = state.caller.prepare(callers if self._settings.caller_rows else callers.clear())
        except SumOverflowError as error:
            events = called.to_numpy().copy()
            events[events] = error.events
            raise SumOverflowError(events) from error
        return state.owner.commit(owner), state.caller.commit(caller)

    async def _remember(self, lane: Lane, batch: RatedBatch, verdicts: Verdicts, first: int, last: int) -> None:
        ids, content = batch.ids[verdicts.new], batch.content[verdicts.new]
        lane.state.dedup.remember(ids, content, batch.appended_ms)
        lane.ids.append(first, last, batch.appended_ms, ids, content)

    async def _publish(self, lane: Lane, settled: Settled, touched: tuple[Touched, Touched], last: int) -> None:
        """Costs and dead letters of a range; returning means the broker has them."""
        state = lane.state
        found: list[tuple[str, Message]] = []
        for rollups, rows in ((state.owner, touched[0]), (state.caller, touched[1])):
            found += await self._in_thread(cost_messages, rollups, rows, last, state.incarnation, state.partition)
        await publish_costs(self._context.publisher, found)
        if settled.rejections:
            await self._letters.send(state.incarnation, state.partition, settled.rejections)

    def _done(self, lane: Lane, settled: Settled, last: int) -> None:
        state = lane.state
        state.applied, state.watermark = last, settled.watermark
        for rollups in (state.owner, state.caller):
            rollups.close(state.watermark, self._allowed_us, last + 1)
        label = str(state.partition)
        for outcome in OUTCOMES:
            metrics.events_total.labels(label, outcome).inc(settled.counts[outcome])
        metrics.dedup_ids.labels(label).set(state.dedup.count)
        if (since := state.dedup.held_since_ms) is not None:
            metrics.dedup_horizon_seconds.labels(label).set((clock.now_ms() - since) / 1000)

    async def _save_sometimes(self, lane: Lane) -> None:
        if time.monotonic() - lane.saved_at >= SNAPSHOT_EVERY_S and not lane.state.redo:
            await self._in_thread(lane.snapshots.save, lane.state)
            lane.saved_at = time.monotonic()
