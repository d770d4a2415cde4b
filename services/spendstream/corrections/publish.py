"""Corrections onto their topic."""

import asyncio
import hashlib
import json
import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from spendstream.runtime.kafka.columns import encode_columns
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
    for rows in changes.iter_slices(ROWS_AT_ONCE):  # the loop it runs on may have others to serve
        for partition, messages in (await asyncio.to_thread(_messages, rows, run, count)).items():
            await publisher.send(TOPIC, messages, partition=partition)
    return changes.height


def _messages(changes: pl.DataFrame, run: CorrectionRun, partitions: int) -> dict[int, list[Message]]:
    """Messages by partition. One charge, one partition: so all see the same of its corrections first."""
    rows = changes.with_columns(
        pl.lit(run.run_id).alias("run_id"), pl.lit(run.reason).alias("reason"),
        pl.lit(run.known_at, dtype=pl.Int64).alias("known_at"),
    )  # fmt: skip
    charge = pl.concat_str("incarnation", "source_partition", "source_offset", "item", separator="/")
    messages: dict[int, list[Message]] = defaultdict(list)
    for key, value in zip(rows.select(charge).to_series().to_list(), encode_columns("Correction", rows), strict=True):
        encoded = key.encode()
        messages[zlib.crc32(encoded) % partitions].append((encoded, value))
    return messages
