"""Rated GPU readings as rows of `gpu_samples` and `gpu_costs`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from spendstream.domain.gpu import CostRow, RatedSample
from spendstream.runtime.clickhouse.money import usd_array

MICROS, MILLIS = pa.timestamp("us", "UTC"), pa.timestamp("ms", "UTC")
MEASURED = {
    "utilization": pa.float64(), "sm_active": pa.float64(), "engine_active": pa.float64(),
    "tensor_active": pa.float64(), "dram_active": pa.float64(), "memory_used_bytes": pa.int64(),
    "memory_total_bytes": pa.int64(), "power_watts": pa.float64(), "energy_millijoules": pa.int64(),
    "temperature_celsius": pa.float64(),
}  # fmt: skip
SAMPLE = pa.schema([
    *((name, pa.string()) for name in ("org", "gpu_uuid", "device_uuid", "hostname", "gpu_model", "throttle_reasons",
                                       "status", "unpriced_reason", "price_id", "incarnation")),
    *((name, pa.int64()) for name in ("interval_ms", "declared_interval_ms", "control_offset", "offset")),
    *MEASURED.items(),
    ("ts", MICROS), ("appended_at", MILLIS), ("fraction", pa.float64()), ("fraction_from", pa.float64()),
    ("partition", pa.uint16()), ("labels", pa.map_(pa.string(), pa.string())),
])  # fmt: skip
COST = pa.schema([
    *((name, pa.string()) for name in ("org", "gpu_uuid", "device_uuid", "mig_instance", "hostname", "gpu_model",
                                       "namespace", "pod", "container", "job", "team", "project", "environment",
                                       "cost_center", "service", "owner_source", "kind", "status", "unpriced_reason",
                                       "price_id", "incarnation", "weight")),
    ("interval_ms", pa.int64()), ("offset", pa.int64()), ("item", pa.int32()), ("partition", pa.uint16()),
    ("share", pa.float64()), ("ts", MICROS), ("appended_at", MILLIS),
])  # fmt: skip


class Key(NamedTuple):
    """What one reading is: a device at a moment (microseconds)."""

    org: str
    gpu_uuid: str
    ts: int


@dataclass(frozen=True)
class Rated:
    """A decoded record, what it costs, and where on the topic it stands."""

    event: Mapping[str, Any]
    rated: RatedSample
    control_offset: int
    incarnation: str
    partition: int
    offset: int
    appended_ms: int


def key_of(each: Rated) -> Key:
    """Identity of a reading."""
    sample = each.rated.sample
    return Key(sample.org, sample.gpu_uuid, sample.sampled_at)


def sample_table(readings: Sequence[Rated]) -> pa.Table:
    """One row a reading."""
    table = pa.Table.from_pylist([_sample_row(each) for each in readings], schema=SAMPLE)
    return with_cost(table, [each.rated.cost_pico_usd for each in readings])


def cost_table(readings: Sequence[Rated]) -> pa.Table:
    """One row a share; the rows of a reading add up to it."""
    rows = [(each, item, row) for each in readings for item, row in enumerate(each.rated.rows)]
    table = pa.Table.from_pylist([_cost_row(each, item, row) for each, item, row in rows], schema=COST)
    return with_cost(table, [row.cost_pico_usd for _, _, row in rows])


def with_cost(table: pa.Table, pico: Sequence[int]) -> pa.Table:
    """The table with its money."""
    return table.append_column("cost_usd", usd_array(np.array(pico, dtype=np.int64)))


def _common(each: Rated) -> Iterator[tuple[str, Any]]:
    sample, price = each.rated.sample, each.rated.price
    yield from (("org", sample.org), ("gpu_uuid", sample.gpu_uuid), ("device_uuid", sample.device_uuid))
    yield from (("ts", sample.sampled_at), ("interval_ms", sample.interval_ms), ("hostname", sample.host))
    yield from (("gpu_model", sample.gpu_model), ("price_id", price.price_id if price else ""))
    yield from (("status", each.rated.status), ("unpriced_reason", each.rated.reason))
    yield from (("incarnation", each.incarnation), ("partition", each.partition), ("offset", each.offset))
    yield "appended_at", each.appended_ms


def _sample_row(each: Rated) -> dict[str, Any]:
    event, sample = each.event, each.rated.sample
    return {
        **dict(_common(each)),
        **{name: event[name] for name in MEASURED},
        "declared_interval_ms": sample.declared_interval_ms,
        "fraction": float(sample.fraction),
        "fraction_from": None if sample.fraction_from is None else float(sample.fraction_from),
        "throttle_reasons": event["throttle_reasons"] or "",
        "labels": list(dict(event["labels"]).items()),
        "control_offset": each.control_offset,
    }


def _cost_row(each: Rated, item: int, row: CostRow) -> dict[str, Any]:
    names = ("namespace", "pod", "container", "job")
    tags = ("team", "project", "environment", "cost_center")
    return {
        **dict(_common(each)),
        **{name: row.identity.get(name, "") for name in names},
        **{tag: row.owned.tags.get(tag, "") for tag in tags},
        "service": row.owned.service,
        "owner_source": row.owned.source,
        "mig_instance": row.instance,
        "kind": row.kind,
        "share": float(row.share),
        "weight": str(row.weight),
        "item": item,
    }
