"""Readings that had no price when they came are priced once it is there: the same rows, now with what they cost.

What is repaired is a function of the stored reading and the prices known now, so two workers that repair the same
reading write the same rows. A reading that has a price is never touched.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import pyarrow as pa
import structlog
from mode import Service

from spendstream.attribution.gpu.alerts import UnpricedModels
from spendstream.attribution.gpu.book import NOTHING_DECLARED, GpuShelf
from spendstream.attribution.gpu.rows import COST, SAMPLE, with_cost
from spendstream.domain.gpu import GpuPriceRevision, cost_pico_usd, split_by_shares
from spendstream.domain.gpu.sample import nearest
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.service import Context

log = structlog.get_logger()
CHUNK = 5_000
Row = dict[str, Any]
Place = tuple[str, str, int]
#: How a column is asked for where not by its name: times as numbers, in the unit of the column.
ASKED_AS = {"ts": "toUnixTimestamp64Micro(ts)", "appended_at": "toUnixTimestamp64Milli(appended_at)"}


class GpuRepair(Service):  # type: ignore[misc]  # mode is untyped
    """Goes through the unpriced readings at start and whenever prices may have changed."""

    def __init__(self, context: Context, models: UnpricedModels) -> None:
        super().__init__()
        self._context = context
        self._models = models
        self._shelf = GpuShelf(context.control.log)
        self._look = asyncio.Event()
        self._books_seen = -1
        context.control.on_change(self._look.set)

    @Service.task  # type: ignore[untyped-decorator]
    async def _repair_for_ever(self) -> None:
        self._look.set()
        while not self.should_stop:
            await self._look.wait()
            self._look.clear()
            version = self._shelf.version(self._context.control.log.offset)
            if version != self._books_seen:
                self._books_seen = version
                await self.repair()

    def look_again(self) -> None:
        """Readings were written without a price while prices changed: they may have one by now."""
        self._books_seen = -1
        self._look.set()

    async def repair(self) -> int:
        """Price what has a price now; returns how many readings."""
        books, repaired = self._shelf.at(self._context.control.log.offset), 0
        for org, model, region in await self._models_without():
            prices = books.get(org, NOTHING_DECLARED).prices
            if not prices.knows(model):
                continue
            async for readings in self._unpriced(org, model, region):
                priced = [
                    (reading, price)
                    for reading in readings
                    if isinstance(price := prices.at(model, region, reading["ts"]), GpuPriceRevision)
                ]
                await self._write(priced)
                repaired += len(priced)
        still = {(org, model) for org, model, _ in await self._models_without()}
        await retrying("saying which GPUs have a price", lambda: self._models.settle(still), retry_on=(NotNowError,))
        if repaired:
            log.info("readings priced that had no price", readings=repaired)
        return repaired

    async def _models_without(self) -> Sequence[Sequence[str]]:
        """(org, GPU model, region) of the readings without a price."""
        return await self._context.clickhouse.query(
            "select distinct org, gpu_model, labels['region'] from gpu_samples final where status = 'unpriced'"
        )

    async def _unpriced(self, org: str, model: str, region: str) -> AsyncIterator[list[Row]]:
        """Unpriced readings of a model, a chunk at a time, in order of device and time."""
        behind: tuple[str, int] = ("", -1)
        while True:
            rows = await self._context.clickhouse.query(
                f"select {_asked(SAMPLE)} from gpu_samples final"
                " where org = {org:String} and gpu_model = {model:String} and labels['region'] = {region:String}"
                " and status = 'unpriced' and (gpu_uuid, toUnixTimestamp64Micro(ts)) > ({uuid:String}, {ts:Int64})"
                f" order by gpu_uuid, ts limit {CHUNK}",
                {"org": org, "model": model, "region": region, "uuid": behind[0], "ts": behind[1]},
            )
            if not rows:
                return
            found = [dict(zip(SAMPLE.names, row, strict=True)) for row in rows]
            yield found
            behind = (found[-1]["gpu_uuid"], found[-1]["ts"])

    async def _write(self, priced: Sequence[tuple[Row, GpuPriceRevision]]) -> None:
        if not priced:
            return
        shares = await self._shares([reading for reading, _ in priced])
        rows: list[Row] = []
        amounts: list[int] = []
        costs = [_cost(reading, price) for reading, price in priced]
        for (reading, price), cost in zip(priced, costs, strict=True):
            mine = shares.get(_place(reading), [])
            amounts += split_by_shares(cost, [Fraction(row["weight"]) for row in mine])
            rows += [{**row, **_said(price)} for row in mine]
        samples = [{**each, **_said(price), "labels": list(each["labels"].items())} for each, price in priced]
        clickhouse = self._context.clickhouse
        await clickhouse.insert("gpu_costs", with_cost(pa.Table.from_pylist(rows, schema=COST), amounts))
        await clickhouse.insert("gpu_samples", with_cost(pa.Table.from_pylist(samples, schema=SAMPLE), costs))

    async def _shares(self, readings: Sequence[Row]) -> Mapping[Place, list[Row]]:
        """The rows of readings in gpu_costs, in their order."""
        times = [reading["ts"] for reading in readings]
        rows = await self._context.clickhouse.query(
            f"select {_asked(COST)} from gpu_costs final"
            " where org = {org:String} and gpu_uuid in {uuids:Array(String)}"
            f" and ts between fromUnixTimestamp64Micro({min(times)}, 'UTC')"
            f" and fromUnixTimestamp64Micro({max(times)}, 'UTC') order by gpu_uuid, ts, item",
            {"org": readings[0]["org"], "uuids": sorted({reading["gpu_uuid"] for reading in readings})},
        )
        found: dict[Place, list[Row]] = {}
        for row in rows:
            named = dict(zip(COST.names, row, strict=True))
            found.setdefault(_place(named), []).append(named)
        return found


def _asked(schema: pa.Schema) -> str:
    return ", ".join(ASKED_AS.get(name, name) for name in schema.names)


def _place(row: Row) -> Place:
    return row["org"], row["gpu_uuid"], row["ts"]


def _cost(reading: Row, price: GpuPriceRevision) -> int:
    start = reading["fraction_from"]
    start = None if start is None else nearest(start)
    return cost_pico_usd(price.price.pico_usd_per_hour, reading["interval_ms"], nearest(reading["fraction"]), start)


def _said(price: GpuPriceRevision) -> Row:
    return {"status": "priced", "unpriced_reason": "", "price_id": price.price_id}
