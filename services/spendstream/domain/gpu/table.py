"""A table of GPU readings (one row per process, or per device without any) as `GpuSample` records.

Columns are named as the fields of GpuSample and GpuProcess; `process_time_slices` and `instance_…` belong to the
process and its MIG instance. Rows of one org, gpu_uuid and sampled_at are one reading, wherever in the file they are.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from spendstream.domain.gpu.lines import BadLine

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
REQUIRED: Final = ("gpu_uuid", "sampled_at", "interval_ms", "gpu_model")


def _time(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, such as 2026-07-01T12:00:10Z")
    return (moment - _EPOCH) // timedelta(microseconds=1)


_DEVICE: Final[dict[str, Callable[[str], Any]]] = {
    "org": str, "gpu_uuid": str, "sampled_at": _time, "interval_ms": int, "declared_interval_ms": int,
    "gpu_model": str, "host": str, "parent_uuid": str, "fraction": float, "fraction_from": float, "time_slices": int,
    "utilization": float, "sm_active": float, "engine_active": float, "tensor_active": float, "dram_active": float,
    "memory_used_bytes": int, "memory_total_bytes": int, "power_watts": float, "energy_millijoules": int,
    "temperature_celsius": float, "throttle_reasons": str,
}  # fmt: skip
_PROCESS: Final[dict[str, Callable[[str], Any]]] = {
    "pid": int, "pod": str, "namespace": str, "container": str, "job": str, "team": str, "project": str,
    "environment": str, "cost_center": str, "service": str, "mig_instance": str, "process_time_slices": int,
    "sm_share": float, "memory_bytes": int,
}  # fmt: skip
_INSTANCE: Final[dict[str, Callable[[str], Any]]] = {
    "instance_profile": str, "instance_fraction": float, "instance_utilization": float, "instance_sm_active": float,
    "instance_engine_active": float, "instance_memory_used_bytes": int, "instance_memory_total_bytes": int,
}  # fmt: skip
COLUMNS: Final = {**_DEVICE, **_PROCESS, **_INSTANCE}


def wrong_header(columns: Iterable[str]) -> str | None:
    """What is wrong with a header; None when nothing is."""
    given = list(columns)
    if missing := [name for name in REQUIRED if name not in given]:
        return f"no column {', '.join(missing)}"
    if unknown := [name for name in given if name not in COLUMNS]:
        return f"unknown column {', '.join(unknown)}; known: {', '.join(COLUMNS)}"
    return None


def read_table(rows: Iterable[tuple[int, Mapping[str, str | None]]]) -> Iterator[dict[str, Any] | BadLine]:
    """Records of (line, row) pairs in the order of their first rows, and the rows that cannot be read."""
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for line, row in rows:
        values: dict[str, Any] = {}
        problem = "has more fields than the header" if None in row else ""
        for name, text in row.items():
            try:
                values[name] = COLUMNS[name](text) if text and name in COLUMNS else None
            except ValueError as error:
                problem = f"{name}: {error}"
        missing = [name for name in REQUIRED if values.get(name) is None]
        if any(values.get(name) is not None for name in _INSTANCE) and values.get("instance_fraction") is None:
            missing.append("instance_fraction")
        if problem or missing:
            yield BadLine(line, problem or f"{missing[0]} is empty")
            continue
        _add(found, values)
    yield from found.values()


def _add(found: dict[tuple[str, str, int], dict[str, Any]], values: Mapping[str, Any]) -> None:
    """Put a row into its reading; what is said of the device is taken from the first row."""
    device = {name: values[name] for name in _DEVICE if values.get(name) is not None}
    device = {"org": "default", "host": "", **device}
    key = (device["org"], device["gpu_uuid"], device["sampled_at"])
    record = found.setdefault(key, {**device, "processes": [], "instances": []})
    instance = {name.removeprefix("instance_"): values[name] for name in _INSTANCE if values.get(name) is not None}
    name = values.get("mig_instance")
    if instance and name not in [each["mig_instance"] for each in record["instances"]]:
        record["instances"].append({"mig_instance": name or "", **instance})
    process = {each: values[each] for each in _PROCESS if values.get(each) is not None}
    if "process_time_slices" in process:
        process["time_slices"] = process.pop("process_time_slices")
    if set(process) - {"mig_instance"}:
        record["processes"].append(process)
