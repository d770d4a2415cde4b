"""Rating the GPU readings of a period again: first what would change, then, if wanted, the corrections."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from spendstream.corrections.gpu.publish import publish
from spendstream.corrections.gpu.readings import Selection, parts, read
from spendstream.corrections.packed import Packed, Progress
from spendstream.corrections.publish import CorrectionRun
from spendstream.domain.gpu import GpuPriceBook
from spendstream.domain.gpu.reprice import GpuSummary, changes
from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.kafka.publisher import Publisher

#: What a correction says of a reading.
SAID: Final = (
    "org", "gpu_uuid", "sampled_at", "revision", "status_after", "unpriced_reason_after", "price_id_after",
    "hourly_price_pico_usd",
)  # fmt: skip


@dataclass
class GpuDiff:
    """What repricing a period would change about GPUs: its sums, and the corrections."""

    examined: int = 0
    summary: GpuSummary = field(default_factory=GpuSummary)
    packed: Packed = field(default_factory=Packed)

    def add(self, readings: int, changed: pl.DataFrame) -> None:
        """Take in the changes of one part."""
        self.examined += readings
        if changed.height:
            self.summary.add(changed)
            self.packed.add(changed.sort("gpu_uuid", "sampled_at").select(SAID))


async def diff(
    clickhouse: ClickHouse, wanted: Selection, books: Mapping[str, GpuPriceBook], progress: Progress
) -> GpuDiff:
    """Rate every reading of a period by `books`. `progress` is told how many readings are done, of how many."""
    found = GpuDiff()
    ahead = await parts(clickhouse, wanted)
    total = sum(part.readings for part in ahead)
    progress(0, total)
    async for readings in read(clickhouse, wanted, ahead):
        await asyncio.to_thread(lambda rows: found.add(rows.height, changes(rows, books)), readings)
        progress(min(found.examined, total), total)
    return found


async def apply(publisher: Publisher, found: GpuDiff, run: CorrectionRun, progress: Progress) -> int:
    """Publish the corrections of a diff; returns how many. Raises `NotNowError`; the run may then be given again."""
    return await found.packed.publish(lambda corrections: publish(publisher, corrections, run), progress)
