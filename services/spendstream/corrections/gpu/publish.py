"""Corrections of GPU readings onto their topic."""

import asyncio
import zlib
from collections import defaultdict
from typing import Final

import polars as pl

from spendstream.corrections.publish import CorrectionRun
from spendstream.runtime.kafka.columns import encode_columns
from spendstream.runtime.kafka.publisher import Message, Publisher

TOPIC: Final = "gpu-corrections"
#: Readings in one record: neighbours in time, so that whoever takes it in finds them in one place.
READINGS: Final = 1_000
ROWS_AT_ONCE: Final = 200_000
_PRICE: Final = ("status_after", "unpriced_reason_after", "price_id_after", "hourly_price_pico_usd")


async def publish(publisher: Publisher, changed: pl.DataFrame, run: CorrectionRun) -> int:
    """Publish `domain.gpu.reprice.changes` as corrections of a run; returns how many. Raises `NotNowError`."""
    count = await publisher.partitions(TOPIC)
    for rows in changed.iter_slices(ROWS_AT_ONCE):  # the loop it runs on may have others to serve
        for partition, messages in (await asyncio.to_thread(_messages, rows, run, count)).items():
            await publisher.send(TOPIC, messages, partition=partition)
    return changed.height


def _messages(changed: pl.DataFrame, run: CorrectionRun, partitions: int) -> dict[int, list[Message]]:
    """Messages by partition. One device, one partition: so all see the same of its corrections first."""
    records = _records(changed, run)
    messages: dict[int, list[Message]] = defaultdict(list)
    for uuid, value in zip(records["gpu_uuid"], encode_columns("GpuCorrection", records), strict=True):
        key = uuid.encode()
        messages[zlib.crc32(key) % partitions].append((key, value))
    return messages


def _records(changed: pl.DataFrame, run: CorrectionRun) -> pl.DataFrame:
    """A record for each device, price and thousand readings."""
    by = ("org", "gpu_uuid", *_PRICE)
    ordered = changed.sort("org", "gpu_uuid", "sampled_at")
    return (
        ordered.with_columns((pl.int_range(pl.len()).over(by) // READINGS).alias("place"))
        .group_by(*by, "place", maintain_order=True)
        .agg(pl.struct("sampled_at", "revision").alias("readings"))
        .with_columns(
            pl.lit(run.run_id).alias("run_id"), pl.lit(run.reason).alias("reason"),
            pl.lit(run.known_at, dtype=pl.Int64).alias("known_at"),
        )
    )  # fmt: skip
