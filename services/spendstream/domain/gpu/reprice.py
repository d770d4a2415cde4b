"""From readings as they stand and the prices known now to corrections: the GPU's part of domain/corrections.

    cost after = price per hour × interval, as if it were rated for the first time; owners and shares stay

A reading whose cost and status stay is not corrected, also where another price now says the same.
"""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from spendstream.domain.gpu.costs import MAX_AMOUNT, PRICED, UNPRICED, cost_pico_usd
from spendstream.domain.gpu.prices import GpuPriceBook
from spendstream.domain.gpu.sample import nearest
from spendstream.domain.gpu.weights import split_columns

#: What decides about the price of a reading, beside its time.
MODEL: Final = ("org", "gpu_model", "region")
#: What decides about its cost, with the price.
AMOUNT: Final = ("hourly_price_pico_usd", "interval_ms", "fraction", "fraction_from")
NOTHING: Final = GpuPriceBook()
_PERIOD: Final = {
    **dict.fromkeys(MODEL, pl.String), "since": pl.Int64, "hourly_price_pico_usd": pl.Int64,
    "status_after": pl.String, "unpriced_reason_after": pl.String, "price_id_after": pl.String,
}  # fmt: skip


def changes(readings: pl.DataFrame, books: Mapping[str, GpuPriceBook]) -> pl.DataFrame:
    """Readings that would change, with what they change to.

    `readings`: any columns, with MODEL, `sampled_at`, `interval_ms`, `fraction`, `fraction_from`, `revision`, `status`,
    `price_id` and `cost_pico_usd` as they stand. Out come those with `revision` one up, `cost_after_pico_usd` and the
    columns of the price in force: `hourly_price_pico_usd`, `status_after`, `unpriced_reason_after`, `price_id_after`.
    An amount that does not fit 64 bits changes nothing.
    """
    priced = readings.sort("sampled_at").join_asof(
        _periods(readings, books), left_on="sampled_at", right_on="since", by=list(MODEL), check_sortedness=False
    )
    rated = priced.with_columns(costs(priced).alias("cost_after_pico_usd"))
    moved = pl.col("cost_after_pico_usd") != pl.col("cost_pico_usd")
    turned = pl.col("status_after") != pl.col("status")
    changed = rated.filter(pl.col("cost_after_pico_usd").is_not_null() & (moved | turned))
    return changed.with_columns(pl.col("revision") + 1).drop("since")


def improvements(changed: pl.DataFrame) -> pl.DataFrame:
    """Of `changes`, those that give a reading the price it lacked."""
    return changed.filter((pl.col("status") == UNPRICED) & (pl.col("status_after") == PRICED))


def costs(readings: pl.DataFrame) -> pl.Series:
    """Pico-dollars of readings with columns AMOUNT (`cost_pico_usd`); null where they do not fit 64 bits.

    Readings are alike by the thousand, so each kind is worked out once, in whole numbers without bound.
    """
    kinds = readings.select(AMOUNT).unique()
    found = [_cost(*kind) for kind in kinds.iter_rows()]
    amounts = kinds.with_columns(pl.Series("cost", found, pl.Int64))
    return readings.select(AMOUNT).join(amounts, on=AMOUNT, how="left", nulls_equal=True, maintain_order="left")["cost"]


def _cost(hourly: int, interval_ms: int, fraction: float, start: float | None) -> int | None:
    cost = cost_pico_usd(hourly, interval_ms, nearest(fraction), None if start is None else nearest(start))
    return cost if cost <= MAX_AMOUNT else None


def _periods(readings: pl.DataFrame, books: Mapping[str, GpuPriceBook]) -> pl.DataFrame:
    """What is in force from which moment on, for each model among the readings."""
    rows: list[dict[str, Any]] = []
    for org, gpu_model, region in readings.select(MODEL).unique().iter_rows():
        for since, found in books.get(org, NOTHING).periods(gpu_model, region):
            row = {"org": org, "gpu_model": gpu_model, "region": region, "since": since}
            if isinstance(found, str):
                said = {"status_after": UNPRICED, "unpriced_reason_after": found, "price_id_after": ""}
                rows.append({**row, **said, "hourly_price_pico_usd": 0})
            else:
                said = {"status_after": PRICED, "unpriced_reason_after": "", "price_id_after": found.price_id}
                rows.append({**row, **said, "hourly_price_pico_usd": found.price.pico_usd_per_hour})
    return pl.DataFrame(rows, schema=_PERIOD).sort("since")


class GpuSummary:
    """A diff as people read it: sums of changed shares, exact beyond 64 bits, added to a chunk at a time."""

    BY: Final = (
        "org", "gpu_model", "team", "kind", "status", "status_after", "price_id", "price_id_after",
    )  # fmt: skip
    SUMS: Final = ("gpu_hours", "before", "after")

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self.readings = 0

    def add(self, changed: pl.DataFrame) -> None:
        """Count `changes` with lists `weight`, `team`, `kind`, `share` and `part_pico_usd`: one item a share."""
        if changed.is_empty():
            return
        self.readings += changed.height
        after = split_columns(changed["cost_after_pico_usd"].to_numpy(), changed["weight"])
        each = changed.with_columns(after.alias("after")).explode("team", "kind", "share", "part_pico_usd", "after")
        hours = (pl.col("share") * pl.col("interval_ms") / 3_600_000).sum()
        before, now = (pl.col(name).cast(pl.Int128).sum() for name in ("part_pico_usd", "after"))
        self._parts.append(each.group_by(self.BY).agg(hours.alias("gpu_hours"), before.alias("before"), now))

    @property
    def total(self) -> tuple[int, int]:
        """Pico-dollars before and after."""
        before, after = (sum(row[name] for row in self.groups()) for name in ("before", "after"))
        return before, after

    def groups(self) -> list[dict[str, Any]]:
        """Shares that change alike, the largest change first; `before` and `after` in pico-dollars, any size."""
        if not self._parts:
            return []
        sums = pl.concat(self._parts).group_by(self.BY).agg(pl.col(self.SUMS).sum())
        return sorted(
            sums.to_dicts(), key=lambda row: (-abs(row["after"] - row["before"]), *(row[name] for name in self.BY))
        )
