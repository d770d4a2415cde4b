"""The second cursor: one row per event into `charges`, range by range along the plan log.

It follows at its own pace; Kafka is its spool. A range is inserted with its own token, then marked in `ledger_ranges`.
After a restart, and after an insert that may or may not have arrived, the first unmarked range is checked against what
is already there. What the first cursor has just rated is taken over in memory; anything older is read from `usage`
again and rated as its plan says.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import polars as pl
import pyarrow as pa
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service

from spendstream.attribution.usage.batch import planned_verdicts, rate, settle
from spendstream.attribution.usage.cards import RateCards
from spendstream.attribution.usage.rows import by_month, charges
from spendstream.rating import BookShelf
from spendstream.runtime import clock, metrics
from spendstream.runtime.kafka import plan_log
from spendstream.runtime.kafka.plan_log import Plan, PlanHistory
from spendstream.runtime.kafka.reader import partition_reader
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.service import Context
from spendstream.schemas import decode

log = structlog.get_logger()
TOPIC = "usage"
KEPT_ROWS = 500_000
SURE_FOR_S = 10.0
COUNTS = ("events", "priced", "partial", "unpriced", "duplicate", "rejected")


Key = tuple[str, int, int, int]


class RecentRanges:
    """Counted events of ranges the first cursor is carrying out, until the ledger has them; bounded by rows.

    A range is announced before its plan is appended and handed over right after, with the place its plan got: the
    ledger may read the plan in between, and a range another worker has planned must not be taken for ours.
    """

    def __init__(self, rows: int = KEPT_ROWS) -> None:
        self._rows = rows
        self._held = 0
        self._ranges: OrderedDict[Key, tuple[int, pl.DataFrame]] = OrderedDict()
        self._announced: dict[Key, asyncio.Event] = {}

    @contextmanager
    def announced(self, incarnation: str, partition: int, first: int, last: int) -> Iterator[None]:
        """While the plan of a range is being appended."""
        key = (incarnation, partition, first, last)
        self._announced[key] = asyncio.Event()
        try:
            yield
        finally:
            self._announced.pop(key).set()

    def put(self, plan: Plan, partition: int, counted: pl.DataFrame) -> None:
        """Hand over a range; the oldest ones give way (the ledger then reads them from Kafka)."""
        self._ranges[plan.incarnation, partition, plan.first, plan.last] = (plan.at, counted)
        self._held += counted.height
        while self._held > self._rows and len(self._ranges) > 1:
            self._held -= self._ranges.popitem(last=False)[1][1].height

    async def take(self, plan: Plan, partition: int) -> pl.DataFrame | None:
        """Take a range over, or None when it is not here."""
        key = (plan.incarnation, partition, plan.first, plan.last)
        if (announced := self._announced.get(key)) is not None:
            await announced.wait()
        at, counted = self._ranges.pop(key, (-1, None))
        if counted is None:
            return None
        self._held -= counted.height
        return counted if at == plan.at else None


class Ledger(Service):  # type: ignore[misc]  # mode is untyped
    """Follows the plan log of every assigned partition into ClickHouse."""

    def __init__(self, context: Context, recent: RecentRanges) -> None:
        super().__init__()
        self._context = context
        self._recent = recent
        self._shelf = BookShelf(context.control.log)
        self._cards = RateCards(context.clickhouse)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._sure_until: dict[int, float] = {}
        #: Offsets each partition is behind the plan log; None until that is known.
        self._behind: dict[int, int | None] = {}
        self._allowed_us = context.settings.allowed_lateness_s * 1_000_000

    def follow(self, partitions: Mapping[int, str]) -> None:
        """Follow exactly these partitions (number → incarnation) from now on."""
        for task in self._tasks.values():
            task.cancel()
        self._behind = dict.fromkeys(partitions)
        self._tasks = {
            partition: asyncio.create_task(self._keep_following(partition, incarnation))
            for partition, incarnation in partitions.items()
        }

    async def on_stop(self) -> None:
        self.follow({})

    async def _keep_following(self, partition: int, incarnation: str) -> None:
        try:
            await retrying(
                f"ledger of usage/{partition}",
                lambda: self._follow(partition, incarnation),
                retry_on=(KafkaError, OSError, NotNowError),
            )
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.critical("ledger stopped", partition=partition, exc_info=True)
            await self.crash(error)

    async def _follow(self, partition: int, incarnation: str) -> None:
        done, start = await self._position(incarnation, partition)
        history, unsure = PlanHistory(), True
        self._sure_until[partition] = 0.0
        settings = self._context.settings
        async with (
            partition_reader(settings, plan_log.TOPIC, partition, start) as plans,
            partition_reader(settings, TOPIC, partition, 0) as usage,
        ):
            usage.pause(TopicPartition(TOPIC, partition))
            while True:
                for records in (await plans.getmany(timeout_ms=1_000)).values():
                    for record in records:
                        history.add(record.offset, decode(record.value)[1])
                ready, history.plans = history.plans, []
                self._note_behind(partition, history.next_first - 1 - done)
                due = [plan for plan in ready if plan.incarnation == incarnation and plan.last > done]
                for plan in due:
                    unsure = await self._write(partition, plan, usage, done, unsure)
                if due:
                    done = due[-1].last
                    await self._mark(partition, due)
                    self._note_behind(partition, history.next_first - 1 - done)

    def _note_behind(self, partition: int, offsets: int) -> None:
        self._behind[partition] = max(0, offsets)
        metrics.ledger_behind.labels(str(partition)).set(max(0, offsets))

    @property
    def is_caught_up(self) -> bool:
        """Whether everything that was planned is in ClickHouse."""
        return all(offsets == 0 for offsets in self._behind.values())

    async def _position(self, incarnation: str, partition: int) -> tuple[int, int]:
        """Last offset in the ledger and where its plan stands in the plan log."""
        rows = await self._context.clickhouse.query(
            "select last, plan_at from ledger_ranges where incarnation = {i:String} and partition = {p:UInt16}"
            " order by last desc limit 1",
            {"i": incarnation, "p": partition},
        )
        return (int(rows[0][0]), int(rows[0][1])) if rows else (-1, 0)

    async def _write(self, partition: int, plan: Plan, usage: AIOKafkaConsumer, done: int, unsure: bool) -> bool:
        """Insert a range. `unsure`: an earlier try may have inserted it; returns whether that goes on.

        A try that fails raises `NotNowError`: the partition is followed anew from what the ledger then holds.
        """
        counted = await self._recent.take(plan, partition)
        if counted is None:
            counted = await self._rate_again(partition, plan, usage)
        await self._cards.write(counted, self._shelf.at(int(plan.record["control_offset"])))
        loop = asyncio.get_running_loop()
        table = await loop.run_in_executor(None, charges, counted, plan.incarnation, partition)
        for month, rows in by_month(table):
            if unsure and await self._is_there(partition, plan, month):
                continue
            token = f"charges/{plan.incarnation}/{partition}/{plan.first}-{plan.last}/{month}"
            await self._still_ours(plan.incarnation, partition, done)
            await self._context.clickhouse.insert_once("charges", rows, token)
            unsure = False
        return unsure

    async def _still_ours(self, incarnation: str, partition: int, done: int) -> None:
        """Raise `NotNowError` when somebody else has written on: we were away for long and are only waking up.

        A token answers for what happened in the last seconds; a process that was frozen may outlive its token.
        """
        if clock.awake_s() > self._sure_until[partition]:
            if (await self._position(incarnation, partition))[0] > done:
                raise NotNowError(f"another process has written the ledger of usage/{partition} on")
            self._sure_until[partition] = clock.awake_s() + SURE_FOR_S

    async def _is_there(self, partition: int, plan: Plan, month: str) -> bool:
        """True when the rows of a range and month were inserted before: a block is there whole or not at all."""
        rows = await self._context.clickhouse.query(
            "select count() from charges where incarnation = {i:String} and partition = {p:UInt16}"
            " and offset between {first:Int64} and {last:Int64} and toYYYYMM(ts) = {month:UInt32}",
            {"i": plan.incarnation, "p": partition, "first": plan.first, "last": plan.last, "month": int(month)},
        )
        return int(rows[0][0]) > 0

    async def _rate_again(self, partition: int, plan: Plan, usage: AIOKafkaConsumer) -> pl.DataFrame:
        tp = TopicPartition(TOPIC, partition)
        usage.resume(tp)
        usage.seek(tp, plan.first)
        records: list[Any] = []
        while not records or records[-1].offset < plan.last:
            fetched = (await usage.getmany(tp, timeout_ms=1_000)).get(tp, [])
            if fetched and fetched[0].offset > plan.last:
                raise LookupError(
                    f"usage/{partition} no longer holds {plan.first}-{plan.last}: retention was too short"
                )
            records.extend(record for record in fetched if record.offset <= plan.last)
        usage.pause(tp)
        book = self._shelf.at(int(plan.record["control_offset"]))

        def again() -> pl.DataFrame:
            batch = rate(records, book, self._context.settings.kept_attributes)
            verdicts = planned_verdicts(batch, plan.record)
            return settle(batch, verdicts, book, int(plan.record["watermark"]), self._allowed_us).counted

        return await asyncio.get_running_loop().run_in_executor(None, again)

    async def _mark(self, partition: int, plans: list[Plan]) -> None:
        columns: dict[str, Any] = {
            "incarnation": [plan.incarnation for plan in plans],
            "partition": pa.array([partition] * len(plans), pa.uint16()),
            "first": [plan.first for plan in plans],
            "last": [plan.last for plan in plans],
            "plan_at": [plan.at for plan in plans],
            "control_offset": [int(plan.record["control_offset"]) for plan in plans],
            **{name: [int(plan.record[name]) for plan in plans] for name in COUNTS},
        }
        await self._context.clickhouse.insert("ledger_ranges", pa.table(columns))
        metrics.insert_rows_total.labels("charges").inc(sum(int(plan.record["events"]) for plan in plans))
