"""Readings that had no price when they came are priced once it is there: a correction like any other.

It works beside the stream, in the worker that holds the first partition of `gpu-corrections`; whoever believes so too
makes the same revisions, which are void. A reading that has a price is never touched: `spendstream reprice` does that,
when somebody asks. Every worker looks which models are still without a price, because each has alerts of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import polars as pl
import structlog

from spendstream.attribution.gpu.alerts import UnpricedModels
from spendstream.attribution.looking import Looking
from spendstream.corrections.gpu.publish import TOPIC, publish
from spendstream.corrections.gpu.standing import not_taken_in
from spendstream.corrections.publish import CorrectionRun, run_id
from spendstream.domain.gpu import UNPRICED
from spendstream.domain.gpu.reprice import MODEL, changes, improvements
from spendstream.gpu_books import PRICE_KINDS, GpuShelf
from spendstream.runtime import clock
from spendstream.runtime.service import Context

log = structlog.get_logger()
SOON_S: Final = 0.5
CHUNK: Final = 100_000
NUMBERS: Final = ("sampled_at", "revision", "interval_ms")


class GpuRepair(Looking):
    """Looks for readings that can be priced by now: when prices change, when it takes over, then once in a while."""

    def __init__(self, context: Context, models: UnpricedModels) -> None:
        super().__init__(context, PRICE_KINDS)
        self._models = models
        self._shelf = GpuShelf(context.control.log)
        self.news()

    async def look(self) -> bool:
        """Correct what has a price now, and say which models have none."""
        on_their_way = self._held and await self._are_on_their_way()
        without = await self._models_without()
        await self._models.settle((org, model) for org, model, _ in without)
        if on_their_way:
            self.news()
            await asyncio.sleep(SOON_S)
            return False
        return self._held and bool(await self._repair(without))

    async def _are_on_their_way(self) -> bool:
        context = self._context
        return await not_taken_in(context.settings, await context.publisher.partitions(TOPIC)) > 0

    async def _repair(self, without: Sequence[Sequence[str]]) -> int:
        books, repaired = self._shelf.prices(), 0
        run = CorrectionRun(run_id("repair", gpu_prices_at=self._prices_at), "repair", clock.now_us())
        for org, model, region in without:
            if org in books and books[org].knows(model):
                async for readings in self._unpriced(org, model, region):
                    better = improvements(await asyncio.to_thread(changes, readings, books))
                    repaired += await publish(self._context.publisher, better, run)
        if repaired:
            log.info("readings priced that had no price", readings=repaired, run_id=run.run_id)
        return repaired

    async def _models_without(self) -> Sequence[Sequence[str]]:
        """Organisation, GPU model and region of the readings without a price."""
        return await self._clickhouse.query(f"select distinct {', '.join(MODEL)} from v_gpu_unpriced_readings")

    async def _unpriced(self, *model: str) -> AsyncIterator[pl.DataFrame]:
        """Readings of a model without a price, a chunk at a time, in order of device and time."""
        behind: tuple[str, int] = ("", -1)
        while True:
            table = await self._clickhouse.query_arrow(
                "select gpu_uuid, toUnixTimestamp64Micro(ts) as sampled_at, toInt64(v.revision) as revision,"
                " interval_ms, fraction, fraction_from from v_gpu_unpriced_readings as v"
                " where org = {org:String} and gpu_model = {gpu_model:String} and region = {region:String}"
                " and (gpu_uuid, toUnixTimestamp64Micro(ts)) > ({uuid:String}, {ts:Int64})"
                f" order by gpu_uuid, ts limit {CHUNK}",
                {**dict(zip(MODEL, model, strict=True)), "uuid": behind[0], "ts": behind[1]},
            )
            if not table.num_rows:
                return
            found = pl.DataFrame(pl.from_arrow(table)).with_columns(
                pl.col(NUMBERS).cast(pl.Int64),
                *(pl.lit(value).alias(name) for name, value in zip(MODEL, model, strict=True)),
                pl.lit(UNPRICED).alias("status"), pl.lit("").alias("price_id"),
                pl.lit(0, dtype=pl.Int64).alias("cost_pico_usd"),
            )  # fmt: skip
            yield found
            behind = (found["gpu_uuid"][-1], found["sampled_at"][-1])
