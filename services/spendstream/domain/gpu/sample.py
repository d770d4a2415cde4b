"""One reading of a device, as the rules want it: shares as exact fractions, what cannot be true refused."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

MAX_INTERVAL_MS: Final = 31 * 24 * 3_600_000
GAP_FACTOR: Final = 2
#: Fractions of instances that were rounded up may be this much more than the device; then they are scaled to it.
ROUNDED: Final = Fraction(101, 100)
#: Shares arrive as binary fractions; the nearest fraction with a denominator up to this is what was meant (3/7, 0.61).
DENOMINATOR: Final = 1_000_000
IDENTITY: Final = (
    "namespace", "pod", "container", "job", "team", "project", "environment", "cost_center", "service",
)  # fmt: skip
#: What makes a process a holder of the device, and not just something that ran on it.
HOLDING: Final = ("pod", "job", "team", "service")


class BadSampleError(ValueError):
    """A sample that can never be billed; `reason` is the dead-letter code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Process:
    """One owner's use of a device or instance. `sm_share`: of the SM time of what it runs on."""

    identity: Mapping[str, str]
    sm_share: Fraction | None = None
    memory_bytes: int | None = None
    time_slices: int = 1

    @property
    def holds(self) -> bool:
        """Whether the device counts as allocated to it."""
        return any(self.identity.get(name) for name in HOLDING)


@dataclass(frozen=True, slots=True)
class Instance:
    """A MIG instance, or (named '') the whole device. `fraction`: of the physical device; `activity`: share of its SM
    time in use, None when nobody measured it."""

    name: str
    fraction: Fraction
    activity: Fraction | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    processes: Sequence[Process]


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading. Times are microseconds, `sampled_at` ends the interval; `region` prices may depend on."""

    org: str
    gpu_uuid: str
    device_uuid: str
    sampled_at: int
    interval_ms: int
    declared_interval_ms: int
    gpu_model: str
    host: str
    region: str
    fraction: Fraction
    fraction_from: Fraction | None
    time_slices: int | None
    instances: Sequence[Instance]

    @property
    def is_gap(self) -> bool:
        """True when it stands for longer than its source would ever leave between two readings."""
        return self.interval_ms > GAP_FACTOR * self.declared_interval_ms


def read_sample(record: Mapping[str, Any]) -> Sample:
    """A `GpuSample` record, checked. `BadSampleError` says what cannot be true about it."""
    if not record["gpu_uuid"]:
        raise BadSampleError("missing_gpu_uuid", "a sample without gpu_uuid belongs to no device")
    interval, declared = record["interval_ms"], record["declared_interval_ms"]
    declared = interval if declared is None else declared
    if not 0 < interval <= MAX_INTERVAL_MS or declared <= 0:
        raise BadSampleError("bad_interval", f"interval_ms is {interval} (declared {declared})")
    start = _share(record, "fraction_from")
    fraction = _share(record, "fraction")
    fraction = Fraction(1) if fraction is None else fraction
    if fraction == 0 or (start or 0) + fraction > 1:
        raise BadSampleError("bad_fraction", f"fraction {float(fraction):g} from {float(start or 0):g}")
    return Sample(
        org=record["org"],
        gpu_uuid=record["gpu_uuid"],
        device_uuid=record["parent_uuid"] or record["gpu_uuid"],
        sampled_at=record["sampled_at"],
        interval_ms=interval,
        declared_interval_ms=declared,
        gpu_model=record["gpu_model"],
        host=record["host"],
        region=dict(record["labels"]).get("region", ""),
        fraction=fraction,
        fraction_from=start,
        time_slices=_count(record, "time_slices"),
        instances=_instances(record),
    )


def _instances(record: Mapping[str, Any]) -> list[Instance]:
    """The device's instances with their processes; a device without MIG is one."""
    declared = record["instances"] or [{**record, "mig_instance": "", "fraction": 1.0}]
    found = {each["mig_instance"]: each for each in declared}
    if len(found) < len(declared):
        raise BadSampleError("bad_instance", "two instances have one name")
    processes: dict[str, list[Process]] = {name: [] for name in found}
    for process in record["processes"]:
        name = (process["mig_instance"] or "") if record["instances"] else ""
        if name not in processes:
            raise BadSampleError("bad_instance", f"a process runs on {name or 'no'} instance, which is not listed")
        processes[name].append(_process(process))
    fractions = _fractions(found)
    return [_instance(name, each, fractions[name], _holders(processes[name])) for name, each in found.items()]


def _fractions(instances: Mapping[str, Mapping[str, Any]]) -> dict[str, Fraction]:
    """Of the device, by instance; together no more than it."""
    found: dict[str, Fraction] = {}
    for name, record in instances.items():
        fraction = _share(record, "fraction")
        if not fraction:
            raise BadSampleError("bad_fraction", f"instance {name} is no part of the device")
        found[name] = fraction
    if (total := sum(found.values())) <= 1:
        return found
    if total > ROUNDED:
        raise BadSampleError("bad_fraction", f"the instances are {float(total):g} devices")
    return {name: fraction / total for name, fraction in found.items()}


def _instance(name: str, record: Mapping[str, Any], fraction: Fraction, processes: Sequence[Process]) -> Instance:
    measured = (_share(record, activity) for activity in ("sm_active", "engine_active", "utilization"))
    activity = next((share for share in measured if share is not None), None)
    used, total = _count(record, "memory_used_bytes"), _count(record, "memory_total_bytes")
    return Instance(name, fraction, activity, used, total, processes)


def _process(record: Mapping[str, Any]) -> Process:
    identity = {name: record[name] for name in IDENTITY if record[name]}
    slices = _count(record, "time_slices")
    memory = _count(record, "memory_bytes")
    return Process(identity, _share(record, "sm_share"), memory, slices or 1)


def _holders(processes: Sequence[Process]) -> list[Process]:
    """Processes of one container, job or owner are one holder: their use adds up, what they hold does not."""
    groups: dict[tuple[tuple[str, str], ...], list[Process]] = {}
    for process in processes:
        groups.setdefault(tuple(process.identity.items()), []).append(process)
    return [members[0] if len(members) == 1 else _together(members) for members in groups.values()]


def _together(members: Sequence[Process]) -> Process:
    sm = [each.sm_share for each in members if each.sm_share is not None]
    memory = [each.memory_bytes for each in members if each.memory_bytes is not None]
    slices = max(each.time_slices for each in members)
    return Process(members[0].identity, sum(sm, Fraction(0)) if sm else None, sum(memory) if memory else None, slices)


def _share(record: Mapping[str, Any], name: str) -> Fraction | None:
    value = record[name]
    if value is None or math.isnan(value):  # NaN is how exporters say that nobody measured it
        return None
    if not 0 <= value <= 1:
        raise BadSampleError("bad_share", f"{name} is {value}, not 0..1")
    return nearest(value)


@lru_cache(maxsize=200_000)
def nearest(value: float) -> Fraction:
    """The fraction that was meant by a binary one."""
    parts = round(value * DENOMINATOR)
    if parts / DENOMINATOR == value:  # none with a smaller denominator is nearer
        return Fraction(parts, DENOMINATOR)
    return Fraction(value).limit_denominator(DENOMINATOR)


def _count(record: Mapping[str, Any], name: str) -> int | None:
    value: int | None = record[name]
    if value is not None and value < 0:
        raise BadSampleError("negative_count", f"{name} is {value}")
    return value
