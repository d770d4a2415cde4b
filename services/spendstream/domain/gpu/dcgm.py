"""Scrapes of a DCGM exporter (Prometheus text) as `GpuSample` records.

A scrape ends where a series comes again or its timestamp changes. Values stand for the device; where the pods of one
device report different values, those are their own. With MIG the exporter names the physical device in UUID and the
instance in GPU_I_ID, so one record speaks for the device and all its instances.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from spendstream.domain.gpu.sample import GAP_FACTOR

_LINE: Final = re.compile(
    r"(?P<name>[A-Za-z_:][\w:]*)\s*(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+(?P<at>-?\d+))?\s*"
)
_LABEL: Final = re.compile(r'\s*([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPES: Final = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
#: DCGM's blanks (dcgm_structs.h): nothing measured, not found, not supported, not permitted.
_BLANK_INT32, _BLANK_FP64, _BLANK_INT64 = 0x7FFFFFF0, 140_737_488_355_328.0, float(0x7FFFFFFFFFFFFFF0)
_BLANKS: Final = 4
_MIB: Final = 1 << 20
_PERCENT: Final = 0.01
#: Metric → field, and what a unit of it is.
_SHARES: Final = {
    "DCGM_FI_PROF_SM_ACTIVE": ("sm_active", 1.0),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": ("engine_active", 1.0),
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": ("tensor_active", 1.0),
    "DCGM_FI_PROF_DRAM_ACTIVE": ("dram_active", 1.0),
    "DCGM_FI_DEV_GPU_UTIL": ("utilization", _PERCENT),
}
_OTHERS: Final = {
    "DCGM_FI_DEV_FB_USED": "fb_used",
    "DCGM_FI_DEV_FB_FREE": "fb_free",
    "DCGM_FI_DEV_FB_RESERVED": "fb_reserved",
    "DCGM_FI_DEV_FB_TOTAL": "fb_total",
    "DCGM_FI_DEV_POWER_USAGE": "power_watts",
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": "energy_counter",
    "DCGM_FI_DEV_GPU_TEMP": "temperature_celsius",
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": "throttle_reasons",
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": "throttle_reasons",
}
_OWNERS: Final = ("pod", "namespace", "container", "team", "project", "environment", "cost_center", "service")
_INSTANCE_FIELDS: Final = ("utilization", "sm_active", "engine_active")
#: Which measure of activity tells pods of one device apart, best first.
_OWN_ACTIVITY: Final = ("sm_active", "engine_active", "utilization")
#: Compute slices of a device that can be partitioned; all others have seven.
_FOUR_SLICES: Final = ("A30", "RTX PRO 6000")
_SLICES: Final = 7

Owner = tuple[tuple[str, str], ...]
NOBODY: Final[Owner] = ()


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read. `line` counts from 1."""

    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class _Reading:
    line: int
    metric: str
    labels: Mapping[str, str]
    value: float
    at_ms: int | None


@dataclass(slots=True)
class _Place:
    """A device or one of its instances: values by owner, and what each owner holds."""

    profile: str = ""
    values: dict[str, dict[Owner, float]] = field(default_factory=dict)
    owners: dict[Owner, set[str]] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """The device's value; the sum where its owners have values of their own."""
        found = self.values.get(name, {})
        if NOBODY in found:
            return found[NOBODY]
        own = self._own(name)
        return sum(own.values()) if own else next(iter(found.values()), None)

    def own(self, name: str, owner: Owner) -> float | None:
        """The owner's own value; None where all have the device's."""
        return self._own(name).get(owner)

    def _own(self, name: str) -> dict[Owner, float]:
        found = {owner: value for owner, value in self.values.get(name, {}).items() if owner}
        return found if len(set(found.values())) > 1 else {}


@dataclass(slots=True)
class _Device:
    labels: Mapping[str, str]
    places: dict[str, _Place] = field(default_factory=dict)


@dataclass(slots=True)
class DcgmReader:
    """Turns scrapes into records, in their order; remembers each device's scrape before.

    `at_us`: time of the first scrape that brings no timestamp; the next of the same device is `interval_ms` after it.
    """

    at_us: int
    interval_ms: int
    org: str = "default"
    time_slices: int | None = None
    _before: dict[str, tuple[int, float | None]] = field(default_factory=dict)

    def read(self, lines: Iterable[str]) -> Iterator[dict[str, Any] | BadLine]:
        """Records and unreadable lines of one file."""
        scrape: list[_Reading] = []
        seen: set[tuple[str, Owner]] = set()
        for number, text in enumerate(lines, 1):
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            reading = _reading(number, text)
            if isinstance(reading, BadLine):
                yield reading
                continue
            key = (reading.metric, tuple(sorted(reading.labels.items())))
            if scrape and (key in seen or reading.at_ms != scrape[0].at_ms):
                yield from self._records(scrape)
                scrape, seen = [], set()
            scrape.append(reading)
            seen.add(key)
        if scrape:
            yield from self._records(scrape)

    def _records(self, scrape: list[_Reading]) -> Iterator[dict[str, Any] | BadLine]:
        devices: dict[str, _Device] = {}
        for reading in scrape:
            uuid = reading.labels.get("UUID") or reading.labels.get("uuid")
            if not uuid:
                yield BadLine(reading.line, f"{reading.metric} names no device: label UUID is missing")
                continue
            _take(devices.setdefault(uuid, _Device(reading.labels)), reading)
        at = scrape[0].at_ms
        moment = self._next_moment(devices) if at is None else at * 1_000
        for uuid, device in devices.items():
            yield self._record(uuid, device, moment)

    def _next_moment(self, devices: Iterable[str]) -> int:
        """Time of a scrape without a timestamp: scrapes of other devices were taken together."""
        before = [found[0] for uuid in devices if (found := self._before.get(uuid))]
        if before and max(before) >= self.at_us:
            self.at_us = max(before) + self.interval_ms * 1_000
        return self.at_us

    def _record(self, uuid: str, device: _Device, moment: int) -> dict[str, Any]:
        labels, whole = device.labels, device.places.get("", _Place())
        instances = {name: place for name, place in device.places.items() if name}
        before, counter = self._before.get(uuid, (None, None))
        energy = whole.value("energy_counter")
        self._before[uuid] = (moment, energy)
        model = labels.get("modelName", "")
        record: dict[str, Any] = {
            "org": self.org,
            "gpu_uuid": uuid,
            "sampled_at": moment,
            "interval_ms": self._interval(before, moment),
            "declared_interval_ms": self.interval_ms,
            "gpu_model": model,
            "host": labels.get("Hostname") or labels.get("hostname") or labels.get("instance", ""),
            "time_slices": self.time_slices,
            **{name: _share(whole, name) for name, _ in _SHARES.values()},
            **_memory(whole),
            "power_watts": whole.value("power_watts"),
            "temperature_celsius": whole.value("temperature_celsius"),
            "throttle_reasons": _hexadecimal(whole.value("throttle_reasons")),
            "processes": _processes("", whole),
            "instances": [],
            "labels": {name: labels[name] for name in ("gpu", "device", "region") if labels.get(name)},
        }
        if counter is not None and energy is not None and energy >= counter:
            record["energy_millijoules"] = int(energy - counter)
        if uuid.startswith("MIG-"):  # an instance that reports for itself
            only = next(iter(instances.values()), whole)
            fraction = mig_fraction(only.profile or model, model)
            return {**record, **_measured(only), "fraction": fraction, "processes": _processes("", only)}
        if instances:
            record["instances"] = [_instance(name, place, model) for name, place in sorted(instances.items())]
            record["processes"] = [
                each for name, place in sorted(instances.items()) for each in _processes(name, place)
            ]
        return record

    def _interval(self, before: int | None, moment: int) -> int:
        """Milliseconds since the scrape before; the declared interval where that is too long ago or unknown."""
        passed = 0 if before is None else (moment - before) // 1_000
        return passed if 0 < passed <= GAP_FACTOR * self.interval_ms else self.interval_ms


def mig_fraction(profile: str, gpu_model: str) -> float:
    """Share of the device's compute slices: `3g.40gb` is 3/7 (of an A30 3/4); 1 for what is no profile."""
    found = re.search(r"(\d+)g\.\d+gb", profile)
    whole = 4 if any(name in gpu_model for name in _FOUR_SLICES) else _SLICES
    return 1.0 if found is None else min(1.0, int(found[1]) / whole)


def _reading(number: int, text: str) -> _Reading | BadLine:
    found = _LINE.fullmatch(text.strip())
    if found is None:
        return BadLine(number, "is no sample of the Prometheus text format")
    labels, rest = {}, found["labels"] or ""
    while rest:
        label = _LABEL.match(rest)
        if label is None:
            return BadLine(number, f"labels cannot be read from {rest[:40]!r} on")
        labels[label[1]] = re.sub(r'\\[\\"n]', lambda escape: _ESCAPES[escape[0]], label[2])
        rest = rest[label.end() :]
    try:
        value = float(found["value"])
    except ValueError:
        return BadLine(number, f"{found['value']!r} is not a number")
    return _Reading(number, found["name"], labels, value, int(found["at"]) if found["at"] else None)


def _take(device: _Device, reading: _Reading) -> None:
    """Note one value, and who is on the device by its labels."""
    labels = reading.labels
    place = device.places.setdefault(labels.get("GPU_I_ID", ""), _Place())
    place.profile = place.profile or labels.get("GPU_I_PROFILE", "")
    owner = _owner(labels)
    if owner:
        place.owners.setdefault(owner, set()).add(labels.get("vgpu", ""))
    name = _SHARES[reading.metric][0] if reading.metric in _SHARES else _OTHERS.get(reading.metric)
    if name is not None and not _blank(reading.value):
        unit = _SHARES[reading.metric][1] if reading.metric in _SHARES else 1.0
        place.values.setdefault(name, {})[owner] = reading.value * unit


def _owner(labels: Mapping[str, str]) -> Owner:
    """Who the labels name. Prometheus renames the exporter's own labels to exported_… where its target has the same."""
    exported = any(labels.get(f"exported_{name}") for name in ("pod", "namespace", "container"))
    named = {name: labels.get(f"exported_{name}" if exported and name in _OWNERS[:3] else name) for name in _OWNERS}
    named["job"] = labels.get("hpc_job")
    return tuple((name, value) for name, value in named.items() if value)


def _blank(value: float) -> bool:
    return (
        not math.isfinite(value)
        or value >= _BLANK_INT64
        or 0 <= value - _BLANK_FP64 < _BLANKS
        or 0 <= value - _BLANK_INT32 < _BLANKS
    )


def _share(place: _Place, name: str) -> float | None:
    value = place.value(name)
    return None if value is None else min(1.0, max(0.0, round(value, 9)))


def _memory(place: _Place) -> dict[str, int | None]:
    used, free = place.value("fb_used"), place.value("fb_free")
    total = place.value("fb_total")
    if total is None and used is not None and free is not None:
        total = used + free + (place.value("fb_reserved") or 0)
    return {"memory_used_bytes": _bytes(used), "memory_total_bytes": _bytes(total)}


def _bytes(mib: float | None) -> int | None:
    return None if mib is None else int(mib * _MIB)


def _hexadecimal(bits: float | None) -> str | None:
    return None if bits is None else hex(int(bits))


def _measured(place: _Place) -> dict[str, Any]:
    return {**{name: _share(place, name) for name in _INSTANCE_FIELDS}, **_memory(place)}


def _instance(name: str, place: _Place, gpu_model: str) -> dict[str, Any]:
    fraction = mig_fraction(place.profile, gpu_model)
    return {"mig_instance": name, "profile": place.profile or None, "fraction": fraction, **_measured(place)}


def _processes(instance: str, place: _Place) -> list[dict[str, Any]]:
    """The owners of a place; what only the device has measured is left to the rules of sharing."""
    return [
        {
            **dict(owner),
            "mig_instance": instance or None,
            "time_slices": len(slices - {""}) or None,
            "sm_share": next((own for name in _OWN_ACTIVITY if (own := place.own(name, owner)) is not None), None),
            "memory_bytes": _bytes(place.own("fb_used", owner)),
        }
        for owner, slices in sorted(place.owners.items())
    ]
