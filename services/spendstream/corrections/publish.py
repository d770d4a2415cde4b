"""Corrections onto their topic."""

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
    rows = changes.with_columns(
        pl.lit(run.run_id).alias("run_id"), pl.lit(run.reason).alias("reason"),
        pl.lit(run.known_at, dtype=pl.Int64).alias("known_at"),
    )  # fmt: skip
    # One charge, one partition: which of its corrections comes first is then the same to all.
    count = await publisher.partitions(TOPIC)
    messages: dict[int, list[Message]] = defaultdict(list)
    keys = rows.select(
        pl.concat_str("incarnation", "source_partition", "source_offset", "item", separator="/")
    ).to_series()
    for key, value in zip(keys.to_list(), encode_columns("Correction", rows), strict=True):
        encoded = key.encode()
        messages[zlib.crc32(encoded) % count].append((encoded, value))
    for partition, batch in messages.items():
        await publisher.send(TOPIC, batch, partition=partition)
    return rows.height
