"""Corrections onto their topic."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from spendstream.runtime.kafka.columns import encode_batches
from spendstream.runtime.kafka.publisher import Message, Publisher

TOPIC: Final = "corrections"
ROWS_AT_ONCE: Final = 20_000


@dataclass(frozen=True)
class CorrectionRun:
    """Who corrects: `run_id` is the same for the same inputs, `known_at` (microseconds) is when it was published."""

    run_id: str
    reason: str
    known_at: int


def run_id(reason: str, **inputs: Any) -> str:
    """Name of a run: its reason and a digest of its inputs."""
    digest = hashlib.blake2b(json.dumps(inputs, sort_keys=True).encode(), digest_size=8)
    return f"{reason}-{digest.hexdigest()}"


async def publish(publisher: Publisher, changes: pl.DataFrame, run: CorrectionRun) -> int:
    """Publish `domain.corrections.differences` as corrections of a run; returns how many. Raises `NotNowError`."""
    count = await publisher.partitions(TOPIC)
    under_way: asyncio.Task[None] | None = None
    for rows in changes.iter_slices(ROWS_AT_ONCE):  # some are sent while the next are encoded
        messages = await asyncio.to_thread(_messages, rows, run, count)
        if under_way is not None:
            await under_way
        under_way = asyncio.create_task(_send(publisher, messages))
    if under_way is not None:
        await under_way
    return changes.height


async def _send(publisher: Publisher, messages: list[list[Message]]) -> None:
    for partition, mine in enumerate(messages):
        await publisher.send(TOPIC, mine, partition=partition)


def _messages(changes: pl.DataFrame, run: CorrectionRun, partitions: int) -> list[list[Message]]:
    """Messages by partition. One charge, one partition: so all see the same of its corrections first."""
    rows = changes.with_columns(
        pl.col(pl.Categorical).cast(pl.String), pl.lit(run.run_id).alias("run_id"),
        pl.lit(run.reason).alias("reason"), pl.lit(run.known_at, dtype=pl.Int64).alias("known_at"),
    )  # fmt: skip
    home = pl.col("source_offset") % partitions
    mine = (rows if partitions == 1 else rows.filter(home == partition) for partition in range(partitions))
    return [[(None, value) for value in encode_batches("CorrectionBatch", "Correction", part)] for part in mine]
