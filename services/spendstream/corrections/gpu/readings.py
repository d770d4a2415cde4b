"""GPU readings as they stand, some devices at a time: enough of each to rate it again and to say who pays."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

from spendstream.corrections.charges import CHUNK_ROWS, PICO, moment
from spendstream.runtime.clickhouse.writer import ClickHouse

#: The row of a reading that counts.
STANDING: Final = "superseded_at = toDateTime64(0, 6, 'UTC')"
_COLUMNS: Final = (
    "toString(org) as org_, gpu_uuid, toString(gpu_model) as gpu_model_, toString(region) as region_,"
    " toString(status) as status_, toString(price_id) as price_id_, toUnixTimestamp64Micro(ts) as sampled_at,"
    f" toInt64(revision) as revision_, interval_ms, fraction, fraction_from, {PICO} as cost_pico_usd,"
    " shares.weight as weight, shares.team as team, shares.kind as kind, shares.share as share,"
    " arrayMap(usd -> toInt64(usd * 1000000000000), shares.cost_usd) as part_pico_usd"
)
_TEXTS: Final = ("org", "gpu_model", "region", "status", "price_id")


@dataclass(frozen=True)
class Selection:
    """Readings whose interval ended in [since, until), microseconds; of one organisation or GPU model where named."""

    since: int
    until: int
    org: str | None = None
    gpu_model: str | None = None

    @property
    def sql(self) -> str:
        """The condition; names are bound as in `parameters`."""
        named = [f"{name} = {{{name}:String}}" for name in self.parameters]
        return " and ".join([f"ts >= {moment(self.since)}", f"ts < {moment(self.until)}", STANDING, *named])

    @property
    def parameters(self) -> dict[str, str]:
        """What `sql` needs."""
        named = {"org": self.org, "gpu_model": self.gpu_model}
        return {name: value for name, value in named.items() if value is not None}


class Part(NamedTuple):
    """Readings of some devices of one organisation, or of a part of the time of one."""

    org: str
    devices: Sequence[str]
    since: int
    until: int
    readings: int


async def parts(clickhouse: ClickHouse, wanted: Selection) -> list[Part]:
    """The readings in parts of about CHUNK_ROWS, along the order they are stored in: by device, then by time."""
    rows = await clickhouse.query(
        "select toString(org) as org_, gpu_uuid, count() as readings, toUnixTimestamp64Micro(min(ts)) as first,"
        f" toUnixTimestamp64Micro(max(ts)) as last from gpu_costs where {wanted.sql}"
        " group by org_, gpu_uuid order by org_, gpu_uuid",
        wanted.parameters,
    )
    devices = (Part(org, [uuid], first, last + 1, count) for org, uuid, count, first, last in rows)
    return list(_joined(piece for device in devices for piece in _cut(device)))


def _cut(device: Part) -> Iterator[Part]:
    """A device in equal lengths of time, as many as it takes."""
    pieces = -(-device.readings // CHUNK_ROWS)
    length = -(-(device.until - device.since) // pieces)
    for since in range(device.since, device.until, length):
        until = min(since + length, device.until)
        yield device._replace(since=since, until=until, readings=device.readings // pieces)


def _joined(pieces: Iterable[Part]) -> Iterator[Part]:
    """Neighbours together as long as they hold at most CHUNK_ROWS; pieces of one device stay apart."""
    held: Part | None = None
    for piece in pieces:
        if held and (
            held.org != piece.org or held.devices[-1] in piece.devices or held.readings + piece.readings > CHUNK_ROWS
        ):
            yield held
            held = None
        held = piece if held is None else _both(held, piece)
    if held:
        yield held


def _both(one: Part, other: Part) -> Part:
    since, until = min(one.since, other.since), max(one.until, other.until)
    return Part(one.org, [*one.devices, *other.devices], since, until, one.readings + other.readings)


async def read(clickhouse: ClickHouse, wanted: Selection, found: Sequence[Part]) -> AsyncIterator[pl.DataFrame]:
    """Readings of each part: what `domain.gpu.reprice.changes` and `GpuSummary` ask for."""
    for part in found:
        here = f"gpu_uuid in {{devices:Array(String)}} and ts >= {moment(part.since)} and ts < {moment(part.until)}"
        table = await clickhouse.query_arrow(
            f"select {_COLUMNS} from gpu_costs final where org = {{org:String}} and {here} and {wanted.sql}",
            {**wanted.parameters, "org": part.org, "devices": part.devices},
        )
        yield as_frame(table)


def as_frame(table: Any) -> pl.DataFrame:
    """The answer as a table with plain names; codes of texts and times as what they stand for."""
    frame = pl.DataFrame(pl.from_arrow(table)).rename({f"{name}_": name for name in (*_TEXTS, "revision")})
    return frame.with_columns(
        pl.col(*_TEXTS).cast(pl.String),
        pl.col("team", "kind").cast(pl.List(pl.String)),
        pl.col("sampled_at", "revision", "interval_ms", "cost_pico_usd").cast(pl.Int64),
    )
