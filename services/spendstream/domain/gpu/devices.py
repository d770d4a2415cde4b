"""What a scrape of a DCGM exporter says of each device: values, instances, and who is on them by the labels."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from spendstream.domain.gpu.lines import Labels, Reading
from spendstream.domain.gpu.scrapes import device_place

#: DCGM's blanks (dcgm_structs.h): nothing measured, not found, not supported, not permitted.
_BLANK_INT32, _BLANK_FP64, _BLANK_INT64 = 0x7FFFFFF0, 140_737_488_355_328.0, float(0x7FFFFFFFFFFFFFF0)
_BLANKS: Final = 4
_PERCENT: Final = 0.01
#: Metric → field, and what a unit of it is.
SHARES: Final = {
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
#: Prometheus puts these of its target on series that have none, and calls the exporter's own exported_….
_TARGET: Final = ("pod", "namespace", "container", "service")
_TAGS: Final = ("team", "project", "environment", "cost_center")
_EXPORTER: Final = "dcgm-exporter"
#: Compute slices of a device that can be partitioned; all others have seven.
_FOUR_SLICES: Final = ("A30", "RTX PRO 6000")
_SLICES: Final = 7

Owner = tuple[tuple[str, str], ...]
NOBODY: Final[Owner] = ()


@dataclass(slots=True)
class Place:
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
class Device:
    """What reports. `fraction`: of the physical device, where it is an instance that is on its own in the scrape."""

    labels: Mapping[str, str]
    places: dict[str, Place] = field(default_factory=dict)
    fraction: float | None = None

    @property
    def profile(self) -> str:
        """Of an instance that reports for itself: its label, else its model's name, which ends with it."""
        return next(
            (place.profile for place in self.places.values() if place.profile), self.labels.get("modelName", "")
        )


def mig_fraction(profile: str, gpu_model: str) -> float | None:
    """Share of the device's compute slices: `3g.40gb` is 3/7 (of an A30 3/4); None for what is no profile."""
    found = re.search(r"(\d+)g\.\d+gb", profile)
    whole = 4 if any(name in gpu_model for name in _FOUR_SLICES) else _SLICES
    return None if found is None else min(1.0, int(found[1]) / whole)


def fractions(profiles: Sequence[str], gpu_model: str) -> list[float]:
    """Fractions of the instances of one device; those that do not say theirs have equal parts of what is left."""
    said = [mig_fraction(profile, gpu_model) for profile in profiles]
    left = max(0.0, 1 - sum(fraction for fraction in said if fraction is not None))
    return [left / said.count(None) if fraction is None else fraction for fraction in said]


def put_instances_into_their_devices(devices: dict[str, Device]) -> None:
    """Instances with a UUID of their own belong to the device of their host and number; where that does not report,
    each speaks for its fraction of it."""
    instances = {uuid: device for uuid, device in devices.items() if uuid.startswith("MIG-")}
    wholes = {place: each for uuid, each in devices.items() if uuid not in instances
              and (place := device_place(each.labels))}  # fmt: skip
    alone: dict[str, list[Device]] = {}
    for uuid, device in instances.items():
        place = device_place(device.labels)
        if place in wholes:
            only = next((each for name, each in device.places.items() if name), device.places.get("", Place()))
            only.profile = device.profile
            wholes[place].places.setdefault(device.labels.get("GPU_I_ID") or uuid, only)
            del devices[uuid]
        else:
            alone.setdefault(place or uuid, []).append(device)
    for together in alone.values():
        profiles = [device.profile for device in together]
        for device, fraction in zip(
            together, fractions(profiles, together[0].labels.get("modelName", "")), strict=True
        ):
            device.fraction = fraction


def take(device: Device, reading: Reading) -> None:
    """Note one value, and who is on the device by its labels."""
    labels = reading.labels.named
    place = device.places.setdefault(labels.get("GPU_I_ID", ""), Place())
    place.profile = place.profile or labels.get("GPU_I_PROFILE", "")
    owner = _owner(reading.labels)
    if owner:
        place.owners.setdefault(owner, set()).add(labels.get("vgpu", ""))
    name = SHARES[reading.metric][0] if reading.metric in SHARES else _OTHERS.get(reading.metric)
    if name is not None and not _blank(reading.value):
        unit = SHARES[reading.metric][1] if reading.metric in SHARES else 1.0
        place.values.setdefault(name, {})[owner] = reading.value * unit


@lru_cache(maxsize=100_000)
def _owner(said: Labels) -> Owner:
    """Who the labels name. The exporter's own pod, which Prometheus puts on series that name none, holds nothing."""
    labels = said.named
    if any(labels.get(f"exported_{name}") for name in _TARGET):
        named = {name: labels.get(f"exported_{name}") for name in _TARGET}
    else:
        ours = any(_EXPORTER in labels.get(name, "") for name in ("pod", "container"))
        named = {name: None if ours else labels.get(name) for name in _TARGET}
    if _EXPORTER in (named["service"] or ""):
        named["service"] = None
    named |= {name: labels.get(f"exported_{name}") or labels.get(name) for name in _TAGS}
    named["job"] = labels.get("hpc_job")
    return tuple((name, value) for name, value in named.items() if value)


def _blank(value: float) -> bool:
    return (
        not math.isfinite(value)
        or value < 0
        or value >= _BLANK_INT64
        or 0 <= value - _BLANK_FP64 < _BLANKS
        or 0 <= value - _BLANK_INT32 < _BLANKS
    )
