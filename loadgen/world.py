"""The events of a company over time. Pure; same seed, same company.

Times are microseconds since the epoch, UTC. A world is cut into slots, each with its own random stream, so any time
range of it is the same events however it is asked for.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from loadgen.company import WorldSpec
from loadgen.people import Ints, People, Record, base_record

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
LONGEST_SLOT_S = 300
EVENTS_PER_SLOT = 5_000  # about; keeps a slot's records in memory and the time to make them short


class World:
    """Events of a company. `rate_per_s` is the mean over a week, before incidents."""

    def __init__(self, spec: WorldSpec, seed: int, rate_per_s: float = 1.0) -> None:
        self.spec = spec
        self.seed = seed
        self.rate_per_s = rate_per_s
        self.slot = SECOND * max(1, min(LONGEST_SLOT_S, round(EVENTS_PER_SLOT / rate_per_s)))
        self._people = People(spec, seed)
        self._mean_rhythm = float(np.mean([_rhythm(spec, hour * HOUR) for hour in range(7 * 24)]))

    def events(self, start: int, end: int, prefix: str) -> Iterator[tuple[int, int, list[Record]]]:
        """(from, to, records in order) for each slot of `[start, end)`; ids start with `prefix`."""
        for slot in range(start // self.slot, -(-end // self.slot)):
            since, until = max(start, slot * self.slot), min(end, (slot + 1) * self.slot)
            yield since, until, self._slot(slot, since, until, prefix)

    def template(self, match: Mapping[str, Any]) -> Record | None:
        """What a caller with these field values sends, before time, user and tokens; None when nobody matches."""
        bases = (base_record(caller, model) for caller in self.spec.callers for model in caller.models)
        return next((base for base in bases if all(base[name] == value for name, value in match.items())), None)

    def _slot(self, slot: int, since: int, until: int, prefix: str) -> list[Record]:
        rng = np.random.default_rng([self.seed, slot])
        begin = slot * self.slot
        expected = self.rate_per_s * self.rhythm_at(begin + self.slot // 2) * self.slot / SECOND
        times = begin + np.sort(rng.integers(0, self.slot, int(rng.poisson(expected))))
        records = self._people.records(rng, times)
        for number, record in enumerate(records):
            record["event_id"] = f"{prefix}{slot:x}-{number:06x}"
            _sum_up(record, self.spec.requests_per_record)
        if until - since == self.slot:
            return records
        return [record for record in records if since <= record["occurred_at"] < until]

    def rhythm_at(self, micros: int) -> float:
        """How busy the company is at that moment; 1.0 is the mean of a week."""
        return _rhythm(self.spec, micros) / self._mean_rhythm

    def expected_events(self, start: int, end: int) -> int:
        """About how many events `[start, end)` holds."""
        steps = max(1, math.ceil((end - start) / HOUR))
        mean = sum(self.rhythm_at(start + (end - start) * (2 * i + 1) // (2 * steps)) for i in range(steps)) / steps
        return round(self.rate_per_s * mean * (end - start) / SECOND)


class Assigner:
    """Gives traced requests (time, tokens) owners, models and users of a world; deterministic by seed."""

    def __init__(self, spec: WorldSpec, seed: int) -> None:
        self._people = People(spec, seed)
        self._seed = seed
        self._calls = 0

    def records(self, times: Ints, input_tokens: Ints, output_tokens: Ints) -> list[Record]:
        """One record per row with the row's time and total tokens; `event_id` is left empty."""
        self._calls += 1
        rng = np.random.default_rng([self._seed, self._calls])
        return self._people.records(rng, times, input_tokens, output_tokens)


def _sum_up(record: Record, requests: int) -> None:
    """Make a record stand for so many alike calls."""
    if requests > 1:
        record["requests"] = requests
        for name in [name for name in record if name.endswith("_tokens") and name != "max_tokens"]:
            record[name] *= requests


def _rhythm(spec: WorldSpec, micros: int) -> float:
    hour = (micros % DAY) / HOUR
    weekday = (micros // DAY + 3) % 7  # the epoch was a Thursday; Monday is 0
    daily = 1 + spec.daily_swing * math.cos(2 * math.pi * (hour - spec.busiest_hour) / 24)
    return daily * (spec.weekend if weekday >= 5 else 1.0)
