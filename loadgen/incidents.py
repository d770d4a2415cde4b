"""What goes wrong in a scenario: extra, changed or missing events, each with what it costs beyond normal.

An `Incidents` object passes the records of one slot after the other; it remembers, by event id, which incident touched
an event and what the event would have been (`None`: it would not have been), until the truth has priced it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from loadgen.people import Record
from loadgen.world import SECOND, World

KINDS = ("spike", "overspend", "output_explosion", "new_model", "runaway", "drop")


@dataclass(frozen=True)
class Incident:
    """`kind` between `start` and `end` (microseconds) on events whose fields equal `match`.

    spike: `factor` times the calls · overspend: `factor` times the tokens · output_explosion: `output_tokens` per
    call without a cap; with `requests` exactly so many added calls, else the matching ones change · new_model:
    `share` of the calls go to `model` (`provider/name`) · runaway: `requests` failing calls of one user with one
    prompt · drop: `share` of the calls is never reported.
    """

    name: str
    kind: str
    start: int
    end: int
    match: Mapping[str, Any] = field(default_factory=dict)
    factor: float = 1.0
    share: float = 1.0
    model: str = ""
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usual_output_tokens: int = 0


@dataclass(frozen=True)
class Touch:
    """Which incident an event belongs to and what it would have been without it."""

    incident: Incident
    usual: Record | None


class Incidents:
    """Applies incidents to records in order of time; deterministic by seed and slot."""

    def __init__(self, world: World, prefix: str) -> None:
        self._world = world
        self._prefix = prefix
        self.incidents: list[Incident] = []
        self.touched: dict[str, Touch] = {}
        self.dropped: Counter[str] = Counter()

    def add(self, incidents: Iterable[Incident]) -> None:
        """Incidents to come; their moments must not lie in slots already passed."""
        self.incidents.extend(incidents)

    def apply(self, start: int, end: int, records: list[Record]) -> list[Record]:
        """Records of `[start, end)` with the incidents in them, in order of time."""
        active = [i for i in self.incidents if i.start < end and start < i.end]
        if not active:
            return records
        for incident in active:
            rng = np.random.default_rng([self._world.seed, start, self.incidents.index(incident)])
            records = self._one(incident, rng, start, end, records)
        return sorted(records, key=lambda record: record["occurred_at"])

    def _one(
        self, incident: Incident, rng: np.random.Generator, start: int, end: int, records: list[Record]
    ) -> list[Record]:
        if incident.requests:
            return records + self._burst(incident, start, end)
        hit = [r for r in records if incident.start <= r["occurred_at"] < incident.end and matches(incident.match, r)]
        if incident.kind == "spike":
            return records + self._more(incident, rng, min(end, incident.end), hit)
        chosen = [r for r in hit if incident.share >= 1 or rng.random() < incident.share]
        if incident.kind == "drop":
            self.dropped[incident.name] += len(chosen)
            gone = {id(record) for record in chosen}
            return [record for record in records if id(record) not in gone]
        for record in chosen:
            self.touched[record["event_id"]] = Touch(incident, record.copy())
            _change(incident, record)
        return records

    def _more(self, incident: Incident, rng: np.random.Generator, end: int, hit: list[Record]) -> list[Record]:
        """`factor - 1` further calls for each one, within a minute after it."""
        extra = []
        for record in hit:
            wanted = incident.factor - 1
            for copy in range(int(wanted) + (rng.random() < wanted % 1)):
                later = record["occurred_at"] + int(rng.integers(1, 60 * SECOND))
                again = {**record, "occurred_at": min(later, end - 1)}
                again["event_id"] = f"{record['event_id']}-{incident.name}-{copy}"
                self.touched[again["event_id"]] = Touch(incident, None)
                extra.append(again)
        return extra

    def _burst(self, incident: Incident, start: int, end: int) -> list[Record]:
        """The part of `requests` evenly spread calls that falls into `[start, end)`."""
        template = self._world.template(incident.match)
        assert template is not None, f"incident {incident.name}: nobody matches"
        span = incident.end - incident.start
        calls = []
        first = max(0, (start - incident.start) * incident.requests // span - 1)
        for number in range(first, incident.requests):
            at = incident.start + number * span // incident.requests
            if at >= end:
                break
            if at >= start:
                calls.append(self._call(incident, template, number, at))
        return calls

    def _call(self, incident: Incident, template: Record, number: int, at: int) -> Record:
        call = {
            **template,
            "attributes": {},
            "event_id": f"{self._prefix}{incident.name}-{number:06x}",
            "occurred_at": at,
            "user_id": f"u-{incident.name}",
            "api_key_id": f"key-{incident.name}",
            "service_tier": "standard",
            "input_tokens": incident.input_tokens,
            "output_tokens": incident.usual_output_tokens,
            "latency_ms": 900,
            "prompt_hash": incident.name if incident.kind == "runaway" else f"{incident.name}-{number:06x}",
        }
        # A nightly job runs every night: only its longer answers are new. An agent's loop is new altogether.
        self.touched[call["event_id"]] = Touch(incident, None if incident.kind == "runaway" else call.copy())
        _change(incident, call)
        return call


def matches(match: Mapping[str, Any], record: Record) -> bool:
    """True when every named field has the value asked for."""
    return all(record[name] == value for name, value in match.items())


def _change(incident: Incident, record: Record) -> None:
    """What the incident does to one event, in place."""
    if incident.kind == "overspend":
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "reasoning_tokens",
                     "image_input_tokens"):  # fmt: skip
            record[name] = int(record[name] * incident.factor)
    elif incident.kind == "output_explosion":
        record["output_tokens"] = incident.output_tokens
        record["reasoning_tokens"] = 0
        record["max_tokens"] = None
    elif incident.kind == "runaway":
        record["output_tokens"] = incident.output_tokens
        record["status"] = "error"
    elif incident.kind == "new_model":
        record["provider"], _, record["model"] = incident.model.partition("/")
        record["service_tier"] = "standard"
