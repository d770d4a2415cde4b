"""Exact shares as whole numbers: what the cost of a reading is split by, when it is rated and at every correction.

part = cost × weight / sum of weights, rounded by largest remainder, so that the parts add up to the cost
"""

from collections.abc import Sequence
from math import gcd, lcm
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from spendstream.domain.money import split

#: Weights and their sum fit 64 bits, and so do costs: products of the two fit 128.
MOST: Final = 2**63 - 1
FINEST: Final = 10**18

Ints = npt.NDArray[np.int64]


def weights_of(parts: Sequence[int], wholes: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to the shares `part / whole` (none negative, summing to 1): exact, as small as they
    get. Where their sum is beyond 64 bits, multiples of 10^-18 that add up all the same."""
    common = lcm(*wholes)
    weights = [part * (common // whole) for part, whole in zip(parts, wholes, strict=True)]
    if (divisor := gcd(*weights)) > 1:
        weights = [weight // divisor for weight in weights]
    return weights if sum(weights) <= MOST else split(FINEST, weights, range(len(weights)))


def split_by_weights(cost: int, weights: Sequence[int]) -> list[int]:
    """`cost` in proportion to weights, adding up to it; equal remainders go to the earlier weight."""
    return split(cost, weights, range(len(weights)))


def split_columns(costs: Ints, weights: pl.Series) -> pl.Series:
    """`split_by_weights` for many: `weights` is a list of Int64 for each cost, and so is the result, of parts."""
    each = pl.DataFrame({"cost": costs, "weight": weights}).with_row_index("reading").explode("weight")
    weight = pl.col("weight").cast(pl.Int128)
    scaled = each.lazy().with_columns(
        weight.sum().over("reading").alias("whole"), (pl.col("cost").cast(pl.Int128) * weight).alias("scaled")
    )
    floored = scaled.with_columns(
        (pl.col("scaled") // pl.col("whole")).alias("part"), (pl.col("scaled") % pl.col("whole")).alias("rest")
    )
    missing = pl.col("cost") - pl.col("part").sum().over("reading")
    place = pl.col("rest").rank("ordinal", descending=True).over("reading")
    parts = floored.select("reading", (pl.col("part") + (place <= missing).cast(pl.Int128)).cast(pl.Int64))
    return parts.group_by("reading", maintain_order=True).agg("part").collect()["part"]
