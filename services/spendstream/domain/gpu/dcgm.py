"""Scrapes of a DCGM exporter (Prometheus text) as `GpuSample` records.

Values stand for the device; where the pods of one device report different values, those are their own. With MIG the
exporter names the physical device in UUID and the instance in GPU_I_ID, so one record speaks for the device and all its
instances; exporters that give an instance a UUID of its own (MIG-…) are understood by host and `gpu`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from spendstream.domain.gpu.devices import (
    SHARES,
    Device,
    Place,
    fractions,
    put_instances_into_their_devices,
    take,
)
from spendstream.domain.gpu.lines import BadLine, LineReader, Reading
from spendstream.domain.gpu.sample import GAP_FACTOR
from spendstream.domain.gpu.scrapes import Scrapes, device_place, device_uuid

_MIB: Final = 1 << 20
_INSTANCE_FIELDS: Final = ("utilization", "sm_active", "engine_active")
#: Which measure of activity tells pods of one device apart, best first.
_OWN_ACTIVITY: Final = ("sm_active", "engine_active", "utilization")


@dataclass(slots=True)
class DcgmReader:
    """Turns scrapes into records, in their order; remembers each device's scrape before.

    `at_us`: time of the first scrape that brings no timestamp; the next of the same device is `interval_ms` after it.
    """

    at_us: int
    interval_ms: int
    org: str = "default"
    time_slices: int | None = None
    _lines: LineReader = field(default_factory=LineReader)
    _before: dict[str, tuple[int, float | None]] = field(default_factory=dict)

    def read(self, lines: Iterable[str]) -> Iterator[dict[str, Any] | BadLine]:
        """Records and unreadable lines of one file."""
        scrapes = Scrapes()
        for number, text in enumerate(lines, 1):
            reading = self._lines.read(number, text)
            if isinstance(reading, BadLine):
                yield reading
            elif reading is not None and not device_uuid(reading.labels.named):
                yield BadLine(number, f"{reading.metric} names no device: label UUID is missing")
            elif reading is not None:
                for scrape in scrapes.add(reading):
                    yield from self._records(scrape)
        for scrape in scrapes.rest():
            yield from self._records(scrape)

    def _records(self, scrape: Sequence[Reading]) -> Iterator[dict[str, Any]]:
        devices: dict[str, Device] = {}
        for reading in scrape:
            uuid = device_uuid(reading.labels.named)
            take(devices.setdefault(uuid, Device(reading.labels.named)), reading)
        put_instances_into_their_devices(devices)
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

    def _record(self, uuid: str, device: Device, moment: int) -> dict[str, Any]:
        labels, whole = device.labels, device.places.get("", Place())
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
            **{name: _share(whole, name) for name, _ in SHARES.values()},
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
        if device.fraction is not None:  # an instance that reports for itself
            only = next(iter(instances.values()), whole)
            own = {"fraction": device.fraction, "parent_uuid": device_place(labels) or None}
            return {**record, **_measured(only), **own, "processes": _processes("", only)}
        if instances:
            shares = fractions([place.profile for _, place in sorted(instances.items())], model)
            record["instances"] = [
                {"mig_instance": name, "profile": place.profile or None, "fraction": fraction, **_measured(place)}
                for (name, place), fraction in zip(sorted(instances.items()), shares, strict=True)
            ]
            record["processes"] = [
                each for name, place in sorted(instances.items()) for each in _processes(name, place)
            ]
        return record

    def _interval(self, before: int | None, moment: int) -> int:
        """Milliseconds since the scrape before; the declared interval where that is too long ago or unknown."""
        passed = 0 if before is None else (moment - before) // 1_000
        return passed if 0 < passed <= GAP_FACTOR * self.interval_ms else self.interval_ms


def _share(place: Place, name: str) -> float | None:
    return _clamped(place.value(name))


def _clamped(value: float | None) -> float | None:
    return None if value is None else min(1.0, max(0.0, round(value, 9)))


def _memory(place: Place) -> dict[str, int | None]:
    used, free = place.value("fb_used"), place.value("fb_free")
    total = place.value("fb_total")
    if total is None and used is not None and free is not None:
        total = used + free + (place.value("fb_reserved") or 0)
    return {"memory_used_bytes": _bytes(used), "memory_total_bytes": _bytes(total)}


def _bytes(mib: float | None) -> int | None:
    return None if mib is None else int(mib * _MIB)


def _hexadecimal(bits: float | None) -> str | None:
    return None if bits is None else hex(int(bits))


def _measured(place: Place) -> dict[str, Any]:
    return {**{name: _share(place, name) for name in _INSTANCE_FIELDS}, **_memory(place)}


def _processes(instance: str, place: Place) -> list[dict[str, Any]]:
    """The owners of a place; what only the device has measured is left to the rules of sharing."""
    return [
        {
            **dict(owner),
            "mig_instance": instance or None,
            "time_slices": len(slices - {""}) or None,
            "sm_share": _clamped(
                next((own for name in _OWN_ACTIVITY if (own := place.own(name, owner)) is not None), None)
            ),
            "memory_bytes": _bytes(place.own("fb_used", owner)),
        }
        for owner, slices in sorted(place.owners.items())
    ]
