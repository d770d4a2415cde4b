"""Which samples of a recording belong together.

Without times a scrape is one of a whole exporter, and ends where a series comes again. With times it is what one device
said at one moment: Prometheus orders what it federates by series, so that devices and moments alternate.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from spendstream.domain.gpu.lines import Reading

Series = tuple[str, int]


def device_place(labels: Mapping[str, str]) -> str:
    """Host and number of a device, which its MIG instances share; empty where they are not said."""
    host = labels.get("Hostname") or labels.get("hostname") or ""
    return f"{host}/gpu{labels['gpu']}" if host and labels.get("gpu") else ""


def device_uuid(labels: Mapping[str, str]) -> str:
    """What reports: a device, or an instance with a UUID of its own."""
    return labels.get("UUID") or labels.get("uuid") or ""


@dataclass(slots=True)
class Scrapes:
    """Samples in, scrapes out as soon as they are complete."""

    _untimed: list[Reading] = field(default_factory=list)
    _seen: set[Series] = field(default_factory=set)
    _timed: dict[str, "_Moments"] = field(default_factory=dict)

    def add(self, reading: Reading) -> Iterator[list[Reading]]:
        """Take a sample in; scrapes that it shows to be over."""
        if reading.at_ms is not None:
            labels = reading.labels.named
            yield from self._timed.setdefault(device_place(labels) or device_uuid(labels), _Moments()).add(reading)
            return
        series = (reading.metric, reading.labels.number)
        if series in self._seen:
            yield self._untimed
            self._untimed, self._seen = [], set()
        self._untimed.append(reading)
        self._seen.add(series)

    def rest(self) -> Iterator[list[Reading]]:
        """What is there at the end of the recording."""
        if self._untimed:
            yield self._untimed
        for moments in self._timed.values():
            yield from moments.rest()


@dataclass(slots=True)
class _Moments:
    """What a device said at each of some moments; several are open where several scrape it."""

    _held: dict[int, list[Reading]] = field(default_factory=dict)
    _seen: set[Series] = field(default_factory=set)

    def add(self, reading: Reading) -> Iterator[list[Reading]]:
        at, series = reading.at_ms or 0, (reading.metric, reading.labels.number)
        if at not in self._held and series in self._seen:
            yield from self.rest()
            self._held, self._seen = {}, set()
        self._held.setdefault(at, []).append(reading)
        self._seen.add(series)

    def rest(self) -> Iterator[list[Reading]]:
        yield from (self._held[at] for at in sorted(self._held))
