"""Rated GPU readings as rows of `gpu_samples` (what was said) and `gpu_costs` (what it cost, with all its shares)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from spendstream.domain.gpu import CostRow, RatedSample
from spendstream.runtime.clickhouse.money import usd_array

TEXT, INT, REAL, MICROS = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", "UTC")
Column = tuple[pa.DataType, Callable[[Any], Any]]
#: What both tables say of a reading.
COMMON: Final[Mapping[str, Column]] = {
    "org": (TEXT, lambda each: each.rated.sample.org),
    "gpu_uuid": (TEXT, lambda each: each.rated.sample.gpu_uuid),
    "ts": (MICROS, lambda each: each.rated.sample.sampled_at),
    "interval_ms": (INT, lambda each: each.rated.sample.interval_ms),
    "device_uuid": (TEXT, lambda each: each.rated.sample.device_uuid),
    "hostname": (TEXT, lambda each: each.rated.sample.host),
    "gpu_model": (TEXT, lambda each: each.rated.sample.gpu_model),
    "fraction": (REAL, lambda each: float(each.rated.sample.fraction)),
    "fraction_from": (REAL, lambda each: _float(each.rated.sample.fraction_from)),
}
SAMPLE: Final[Mapping[str, Column]] = {
    **COMMON,
    "declared_interval_ms": (INT, lambda each: each.rated.sample.declared_interval_ms),
    "gap": (pa.uint8(), lambda each: int(each.rated.sample.is_gap)),
    "throttle_reasons": (TEXT, lambda each: each.event["throttle_reasons"] or ""),
    "labels": (pa.map_(TEXT, TEXT), lambda each: list(dict(each.event["labels"]).items())),
    "incarnation": (TEXT, lambda each: each.incarnation),
    "partition": (pa.uint16(), lambda each: each.partition),
    "offset": (INT, lambda each: each.offset),
    "appended_at": (pa.timestamp("ms", "UTC"), lambda each: each.appended_ms),
}
MEASURED: Final = {
    **dict.fromkeys(("utilization", "sm_active", "engine_active", "tensor_active", "dram_active"), REAL),
    **dict.fromkeys(("memory_used_bytes", "memory_total_bytes", "energy_millijoules"), INT),
    **dict.fromkeys(("power_watts", "temperature_celsius"), REAL),
}
COST: Final[Mapping[str, Column]] = {
    **COMMON,
    "region": (TEXT, lambda each: each.rated.sample.region),
    "status": (TEXT, lambda each: each.rated.status),
    "unpriced_reason": (TEXT, lambda each: each.rated.reason),
    "price_id": (TEXT, lambda each: each.rated.price.price_id if each.rated.price else ""),
    "control_offset": (INT, lambda each: each.control_offset),
}


def _identity(name: str) -> Callable[[Any], Any]:
    return lambda row: row.identity.get(name, "")


def _tag(name: str) -> Callable[[Any], Any]:
    return lambda row: row.owned.tags.get(name, "")


SHARE: Final[Mapping[str, Column]] = {
    "mig_instance": (TEXT, lambda row: row.instance),
    **{name: (TEXT, _identity(name)) for name in ("namespace", "pod", "container", "job")},
    **{name: (TEXT, _tag(name)) for name in ("team", "project", "environment", "cost_center")},
    "service": (TEXT, lambda row: row.owned.service),
    "owner_source": (TEXT, lambda row: row.owned.source),
    "kind": (TEXT, lambda row: row.kind),
    "share": (REAL, lambda row: float(row.share)),
    "weight": (INT, lambda row: row.weight),
}


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
    """One row a reading: a function of its record alone."""
    columns = _columns(SAMPLE, readings)
    measured = {name: pa.array([each.event[name] for each in readings], kind) for name, kind in MEASURED.items()}
    return pa.table({**columns, **measured})


def cost_table(readings: Sequence[Rated]) -> pa.Table:
    """One row a reading that is billed, with its shares; they add up to it."""
    billed = [each for each in readings if each.rated.rows]
    rows = [row for each in billed for row in each.rated.rows]
    counts = [len(each.rated.rows) for each in billed]
    shares = _columns(SHARE, rows)
    shares["cost_usd"] = _usd(row.cost_pico_usd for row in rows)
    return pa.table({
        **_columns(COST, billed),
        "cost_usd": _usd(each.rated.cost_pico_usd for each in billed),
        **{f"shares.{name}": as_lists(values, counts) for name, values in shares.items()},
    })  # fmt: skip


def as_lists(values: pa.Array, counts: Sequence[int]) -> pa.Array:
    """Consecutive values as lists, so many in each."""
    offsets = np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _columns(declared: Mapping[str, Column], rows: Sequence[Rated] | Sequence[CostRow]) -> dict[str, pa.Array]:
    return {name: pa.array([value(row) for row in rows], kind) for name, (kind, value) in declared.items()}


def _usd(pico: Any) -> pa.Array:
    return usd_array(np.fromiter(pico, dtype=np.int64))


def _float(share: Any) -> float | None:
    return None if share is None else float(share)
