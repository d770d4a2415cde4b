"""Open roll-up rows out of `costs`: for a worker whose snapshot is lost when `usage` no longer holds what made them."""

import polars as pl
from aiokafka.errors import KafkaError

from spendstream.domain.rollups import GRAINS, LATE_BLOCK, ON_TIME, SUMS, Rollups
from spendstream.runtime.kafka.columns import decode_columns
from spendstream.runtime.kafka.reader import partition_reader, read_batches
from spendstream.runtime.retry import NotNowError
from spendstream.runtime.service import Context

TOPIC = "costs"


async def published_rows(context: Context, incarnation: str, partition: int, through: int) -> tuple[Rollups, Rollups]:
    """Owner and caller rows of a usage partition as published up to offset `through`, the newest value of each.

    Reads all of `costs`, which takes a while: nothing else has them. `NotNowError` when the broker is away.
    """
    newest: dict[str, list[pl.DataFrame]] = {grain: [] for grain in GRAINS}
    mine = (
        (pl.col("incarnation") == incarnation)
        & (pl.col("source_partition") == partition)
        & (pl.col("last_offset") <= through)
    )
    try:
        for source in range(await context.publisher.partitions(TOPIC)):
            async with partition_reader(context.settings, TOPIC, source, 0) as consumer:
                async for records in read_batches(consumer, TOPIC, source):
                    rows = decode_columns(records, "CostRollup").events.filter(mine)
                    for grain in GRAINS:
                        newest[grain].append(rows.filter(pl.col("grain") == grain))
    except (KafkaError, OSError) as error:
        raise NotNowError(f"reading {TOPIC}: {error!r}") from error
    owner, caller = (_rollups(grain, newest[grain]) for grain in ("owner", "caller"))
    return owner, caller


def _rollups(grain: str, parts: list[pl.DataFrame]) -> Rollups:
    rollups = Rollups(grain)
    if not any(part.height for part in parts):
        return rollups
    identity = [*rollups.dimensions, "minute", "epoch", "late"]
    late_block = pl.when(pl.col("late")).then(pl.col("epoch") // LATE_BLOCK).otherwise(ON_TIME).alias("late_block")
    rows = pl.concat(parts).sort("last_offset").unique(identity, keep="last", maintain_order=True)
    rollups.restore(
        rows.select(
            *rollups.dimensions, pl.col("minute").cast(pl.Datetime("us")).cast(pl.Int64), late_block, "epoch", *SUMS
        )
    )
    return rollups
