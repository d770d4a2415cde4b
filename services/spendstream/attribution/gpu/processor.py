"""GPU telemetry to rows of `gpu_samples` and `gpu_costs`: at-least-once reading, and whoever writes looks first.

A row is a function of its record and of the control documents known when it was first rated. A device has one reading
at one moment, so a record that was written already, be it after a crash or because a sampler sent it twice, is left
out. `gpu_costs` is written before `gpu_samples`: a reading that is in the second has all its rows in the first.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import faust
import polars as pl
import structlog
from faust.types import TP
from prometheus_client import Counter

from spendstream.attribution.gpu.alerts import UnpricedModels
from spendstream.attribution.gpu.rows import Rated, cost_table, key_of, sample_table
from spendstream.attribution.limit import FUTURE_US, RejectGate
from spendstream.domain.gpu import UNPRICED, BadSampleError, rate_sample, read_sample
from spendstream.gpu_books import NOTHING_DECLARED, GpuShelf
from spendstream.runtime.dead_letters import DeadLetters, Rejection
from spendstream.runtime.kafka.columns import decode_columns
from spendstream.runtime.kafka.consume import Run, build_app
from spendstream.runtime.kafka.incarnations import topic_ids
from spendstream.runtime.kafka.transport import Record, RunOptions
from spendstream.runtime.service import Context

log = structlog.get_logger()
TOPIC = "gpu-telemetry"
#: A run is asked about in one query, so it stays short.
RUN_RECORDS = 5_000
LATEST_US = 253_402_300_799_999_999  # the end of the calendar

samples_total = Counter("spendstream_gpu_samples", "GPU readings by what became of them", ["outcome"])


class GpuProcessor:
    """Rates each reading once. It keeps nothing between runs: the tables say what has been written."""

    def __init__(self, context: Context, models: UnpricedModels, unpriced_behind: Callable[[], None]) -> None:
        """`unpriced_behind` is called when readings were written unpriced although prices have changed meanwhile."""
        self._context = context
        self._models = models
        self._unpriced_behind = unpriced_behind
        self._gates: dict[int, RejectGate] = {}
        self._shelf = GpuShelf(context.control.log)
        self._letters = DeadLetters(context.publisher, context.service, TOPIC)
        self._incarnation = ""

    def app(self) -> faust.App:
        """Faust app of the group that reads telemetry."""
        settings = self._context.settings
        options = RunOptions(linger_ms=settings.linger_ms, records=RUN_RECORDS)
        return build_app(settings, f"{self._context.service}-gpu", [TOPIC], self, options)

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        settings = self._context.settings
        self._incarnation = (await topic_ids(settings, [TOPIC]))[TOPIC] or "unidentified"
        gate = partial(RejectGate, self._context.publisher, TOPIC)
        self._gates = {tp.partition: gate(tp.partition, self._incarnation, settings.reject_limit) for tp in partitions}
        return {}  # the group's own offsets: reading something again is harmless

    async def revoked(self) -> None:
        pass

    async def process(self, run: Run) -> None:
        rated, rejections = await asyncio.to_thread(self._rate, run)
        reasons = [rejection.reason for rejection in rejections]
        await self._gates[run.partition].admit(len(run.records), len(rejections), reasons)
        fresh = await self._not_written(rated)
        unpriced = [each for each in fresh if each.rated.status == UNPRICED]
        await self._models.note((key_of(each).org, each.rated.sample.gpu_model) for each in unpriced)
        await self._context.clickhouse.insert("gpu_costs", await asyncio.to_thread(cost_table, fresh))
        await self._context.clickhouse.insert("gpu_samples", await asyncio.to_thread(sample_table, fresh))
        if rejections:
            await self._letters.send(self._incarnation, run.partition, rejections)
        for each in fresh:
            samples_total.labels(each.rated.status).inc()
        if any(self._is_behind(each.control_offset) for each in unpriced[:1]):
            self._unpriced_behind()
        samples_total.labels("duplicate").inc(len(rated) - len(fresh))
        samples_total.labels("rejected").inc(len(rejections))

    def _is_behind(self, control_offset: int) -> bool:
        now = self._context.control.log.offset
        return now != control_offset and self._shelf.version(now) != self._shelf.version(control_offset)

    def _rate(self, run: Run) -> tuple[list[Rated], list[Rejection]]:
        """The readings of a run with what they cost, in log order, and what is refused."""
        columns = decode_columns(run.records, "GpuSample")
        rejections = [
            Rejection(record := run.records[each.record], -1, each.reason, each.detail, record.value)
            for each in columns.rejects
        ]
        control_offset = self._context.control.log.offset
        books = self._shelf.at(control_offset)
        rated: list[Rated] = []
        events = columns.events.with_columns(pl.col("sampled_at").cast(pl.Int64)).iter_rows(named=True)
        for position, event in zip(columns.record.tolist(), events, strict=True):
            record = run.records[position]
            try:
                _check_clock(event["sampled_at"], record)
                sample = read_sample(event)
                result = rate_sample(sample, books.get(sample.org, NOTHING_DECLARED))
                place = (self._incarnation, run.partition)
                rated.append(Rated(event, result, control_offset, *place, record.offset, record.timestamp or 0))
            except BadSampleError as error:
                name = f"{event['gpu_uuid']}@{event['sampled_at']}"
                rejections.append(Rejection(record, -1, error.reason, str(error), record.value, event["org"], name))
        return rated, rejections

    async def _not_written(self, rated: Sequence[Rated]) -> list[Rated]:
        """The first reading of each device and moment, less those the table has."""
        first = {key_of(each): each for each in reversed(rated)}
        if not first:
            return []
        times = [key.ts for key in first]
        rows = await self._context.clickhouse.query(
            "select distinct org, gpu_uuid, toUnixTimestamp64Micro(ts) from gpu_samples"
            " where org in {orgs:Array(String)} and gpu_uuid in {uuids:Array(String)}"
            f" and ts between fromUnixTimestamp64Micro({min(times)}, 'UTC')"
            f" and fromUnixTimestamp64Micro({max(times)}, 'UTC')",
            {"orgs": sorted({key.org for key in first}), "uuids": sorted({key.gpu_uuid for key in first})},
        )
        written = set(map(tuple, rows))
        return [each for key, each in reversed(first.items()) if tuple(key) not in written]


def _check_clock(sampled_at: int, record: Record) -> None:
    if not 0 <= sampled_at <= min((record.timestamp or 0) * 1_000 + FUTURE_US, LATEST_US):
        raise BadSampleError("clock", f"sampled_at {sampled_at} is not between 1970 and five minutes from now")
