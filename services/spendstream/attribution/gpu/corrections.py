"""The processor on `gpu-corrections`: each correction that counts becomes the next revision of its reading's cost.

The reading's owners and weights stay; its cost is price per hour × interval again, split anew, so that its shares add
up to it. The row it had comes once more with the moment it stopped counting, in the same block: a reading is never
without a cost, and never has two. What counts is looked up in the table: read again, a correction changes nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import faust
import polars as pl
import pyarrow as pa
import structlog
from faust.types import TP

from spendstream.attribution.gpu.rows import as_lists
from spendstream.corrections.gpu.publish import TOPIC
from spendstream.corrections.gpu.readings import STANDING
from spendstream.corrections.gpu.standing import GROUP
from spendstream.domain.gpu.reprice import costs
from spendstream.domain.gpu.weights import split_columns
from spendstream.runtime import metrics
from spendstream.runtime.clickhouse.money import usd_array
from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.kafka.columns import decode_columns
from spendstream.runtime.kafka.consume import Run, build_app
from spendstream.runtime.kafka.transport import RunOptions
from spendstream.runtime.service import Context

log = structlog.get_logger()
LINGER_MS = 100
#: Of up to a thousand readings each.
RUN_RECORDS = 20
KEY: Final = ("org", "gpu_uuid", "sampled_at")


class GpuCorrections:
    """Turns runs of `gpu-corrections` into rows of `gpu_costs`. It keeps nothing: the table says what has counted."""

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        # Its own connection: a month may be corrected at once, and readings must not wait for it.
        self._clickhouse = ClickHouse(context.settings, threads=1)
        #: Told which partitions are held here.
        self.assignment_changed: Callable[[frozenset[int]], None] = lambda partitions: None

    def app(self) -> faust.App:
        """Faust app of the group that takes corrections in."""
        options = RunOptions(linger_ms=LINGER_MS, records=RUN_RECORDS)
        return build_app(self._settings, GROUP, [TOPIC], self, options)

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        self.assignment_changed(frozenset(tp.partition for tp in partitions))
        return {}  # the group's own offsets: reading something again is harmless

    async def revoked(self) -> None:
        self.assignment_changed(frozenset())

    async def process(self, run: Run) -> None:
        waiting = await asyncio.to_thread(corrections, run)
        while waiting.height:  # a reading may be corrected twice in one run: one after the other
            first = waiting.unique(KEY, keep="first", maintain_order=True)
            await self._take(first)
            waiting = waiting.join(first, on="place", how="anti", maintain_order="left")

    async def _take(self, wanted: pl.DataFrame) -> None:
        where, parameters = _where(wanted)
        standing = await self._clickhouse.query_arrow(
            f"select * from gpu_costs final where {STANDING} and ({where})", parameters
        )
        rows = await asyncio.to_thread(corrected, standing, wanted)
        await self._clickhouse.insert("gpu_costs", rows)
        counted = rows.num_rows // 2
        metrics.corrections_total.labels("counted").inc(counted)
        metrics.corrections_total.labels("void").inc(wanted.height - counted)


def corrections(run: Run) -> pl.DataFrame:
    """A row for each reading the run corrects, in log order, with `place` in it."""
    columns = decode_columns(run.records, "GpuCorrection")
    for reject in columns.rejects:
        log.error("our own correction cannot be read", offset=run.records[reject.record].offset, why=reject.detail)
    rows = columns.events.filter(pl.col("readings").list.len() > 0).explode("readings").unnest("readings")
    return rows.with_columns(pl.col("sampled_at", "known_at").cast(pl.Int64)).with_row_index("place")


def corrected(standing: pa.Table, wanted: pl.DataFrame) -> pa.Table:
    """Rows to add for the corrections that make the next revision of a reading as it stands: that revision, and the
    row it corrects with `superseded_at`. Two rows a correction; readings that are no longer kept have none."""
    both = _as_frame(standing).join(wanted, on=KEY, how="inner", maintain_order="left")
    counted = both.with_columns(costs(both).alias("cost")).filter(
        (pl.col("revision_right") > pl.col("revision")) & pl.col("cost").is_not_null()
    )
    before = standing.take(counted["row"].to_arrow())
    known_at = pa.array(counted["known_at"].to_numpy(), pa.timestamp("us", "UTC"))
    closed = _with(before, {"superseded_at": known_at})
    cost = counted["cost"].to_numpy()
    added = _with(before, {
        "revision": pa.array(counted["revision_right"].to_numpy(), pa.uint32()),
        **{name: counted[f"{name}_after"].to_arrow() for name in ("status", "unpriced_reason", "price_id")},
        "cost_usd": usd_array(cost),
        "shares.cost_usd": _split(cost, counted["weight"]),
        "status_before": before["status"], "price_id_before": before["price_id"],
        "cost_before_usd": before["cost_usd"],
        "run_id": counted["run_id"].to_arrow(), "reason": counted["reason"].to_arrow(), "known_at": known_at,
    })  # fmt: skip
    return pa.concat_tables([closed, added], promote_options="permissive")


def _as_frame(standing: pa.Table) -> pl.DataFrame:
    """What deciding and rating take, with the number of the row."""
    names = ["org", "gpu_uuid", "ts", "revision", "interval_ms", "fraction", "fraction_from", "shares.weight"]
    frame = pl.DataFrame(pl.from_arrow(standing.select(names))).with_row_index("row")
    return frame.rename({"ts": "sampled_at", "shares.weight": "weight"}).with_columns(
        pl.col("org").cast(pl.String), pl.col("sampled_at", "revision").cast(pl.Int64)
    )


def _split(costs: Any, weights: pl.Series) -> pa.Array:
    parts = split_columns(costs, weights)
    return as_lists(usd_array(parts.explode().to_numpy()), parts.list.len().to_list())


def _with(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """The table with some of its columns replaced, texts without their codes."""
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


def _where(wanted: pl.DataFrame) -> tuple[str, dict[str, Any]]:
    """The readings as stretches of devices, which is how they are stored."""
    stretches = wanted.group_by("org", "gpu_uuid", pl.col("place") // 1_000, maintain_order=True).agg(
        pl.col("sampled_at").min().alias("first"), pl.col("sampled_at").max().alias("last")
    )
    terms: list[str] = []
    parameters: dict[str, Any] = {}
    for i, (org, uuid, _, first, last) in enumerate(stretches.iter_rows()):
        parameters |= {f"org{i}": org, f"uuid{i}": uuid}
        terms.append(
            f"org = {{org{i}:String}} and gpu_uuid = {{uuid{i}:String}}"
            f" and ts between fromUnixTimestamp64Micro({first}, 'UTC') and fromUnixTimestamp64Micro({last}, 'UTC')"
        )
    return " or ".join(terms), parameters
