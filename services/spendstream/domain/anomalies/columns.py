"""From cost deltas to the few sums the detectors watch."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]

REQUESTS, COST, INPUT, CACHE_READ, CACHE_WRITE, OUTPUT, ERROR_COST = range(7)
FEATURES: Final = ("requests", "cost", "input", "cache_read", "cache_write", "output", "error_cost")
# Which classes of the deltas each token feature sums.
_TOKENS: Final = {
    "input": ("input_uncached", "input_audio", "input_image"),
    "cache_read": ("input_cache_read",),
    "cache_write": ("input_cache_write_5m", "input_cache_write_1h"),
    "output": ("output_text", "output_reasoning", "output_audio"),
}
SUMS: Final = (*FEATURES, "events", "partial_events", "unpriced_events")
DIMENSIONS: Final = ("grain", "team", "service", "provider", "model", "user_id")


def watched(deltas: pl.DataFrame) -> pl.DataFrame:
    """Cost deltas with `org`, `minute` (minutes since the epoch), `source_partition` (0 when they name none), the
    dimensions the detectors use and SUMS, all Int64; row order is kept."""
    partition = pl.col("source_partition") if "source_partition" in deltas.columns else pl.lit(0)
    tokens = [
        pl.sum_horizontal(f"{bucket}_tokens" for bucket in buckets).cast(pl.Int64).alias(name)
        for name, buckets in _TOKENS.items()
    ]
    return deltas.select(
        "org",
        *(pl.col(name).cast(pl.String) for name in DIMENSIONS),
        (pl.col("minute") // 60_000_000).alias("minute"),
        partition.cast(pl.Int64).alias("source_partition"),
        pl.col("requests").cast(pl.Int64),
        pl.col("cost_pico_usd").cast(pl.Int64).alias("cost"),
        *tokens,
        pl.col("error_cost_pico_usd").cast(pl.Int64).alias("error_cost"),
        pl.col("events").cast(pl.Int64),
        pl.col("partial_events").cast(pl.Int64),
        pl.col("unpriced_events").cast(pl.Int64),
    )
