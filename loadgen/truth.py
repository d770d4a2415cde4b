"""What must come out: exact totals of everything that was sent, kept while it is sent, written as one JSON file.

All amounts are integer pico-dollars, all times UTC. The names in `TruthFile` are the names in the file.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from loadgen.disorder import CONFLICT, DUPLICATE, EVENT, Emission
from loadgen.incidents import Incident, Touch
from loadgen.packing import Expected
from loadgen.price_file import EPOCH
from loadgen.pricing import BUCKETS, Book, Buckets, Rejected, buckets_of

MINUTE = 60_000_000
DAY = 86_400_000_000
UNALLOCATED = "unallocated"

Amounts = dict[str, int]


@dataclass
class TruthFile:
    """The truth of one run. Keys of nested tables are written out: team → model (`provider/model`) → amount."""

    run_id: str
    event_id_prefix: str
    seed: int = 0
    started_at: str = ""
    finished_at: str = ""
    first_event_at: str = ""
    last_event_at: str = ""
    sent_events: int = 0  # usage events and undecodable records: the `in` of the conservation law
    sent_records: int = 0
    distinct_events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    cost_pico_usd: int = 0
    cost_pico_usd_by_team: Amounts = field(default_factory=dict)
    cost_pico_usd_by_model: Amounts = field(default_factory=dict)
    cost_pico_usd_by_team_model: dict[str, Amounts] = field(default_factory=dict)
    cost_pico_usd_by_team_model_day: dict[str, dict[str, Amounts]] = field(default_factory=dict)
    cost_pico_usd_by_day: Amounts = field(default_factory=dict)
    cost_pico_usd_by_team_minute: dict[str, Amounts] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    positions: dict[str, dict[str, int]] = field(default_factory=dict)  # partition → first, last, records, unaccounted
    schedule: dict[str, float] = field(default_factory=dict)

    @property
    def unaccounted_records(self) -> int:
        """Offsets between ours that we did not get: retried records, or another producer's."""
        return sum(position["unaccounted"] for position in self.positions.values())

    def save(self, path: Path) -> None:
        """Write the file; a half-written one is never seen under this name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".part")
        draft.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> "TruthFile":
        """Read a file; `ValueError` when it is not a truth file."""
        try:
            return cls(**json.loads(path.read_text()))
        except (TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not a truth file: {error}") from error


class Truth:
    """Counts and prices what is sent. State: sums per team × minute and per team × model × day."""

    def __init__(self, book: Book, touched: dict[str, Touch] | None = None) -> None:
        self._book = book
        self._touched = touched if touched is not None else {}
        self._sent = Counter[str]()
        self._statuses = Counter[str]()
        self._reasons = Counter[str]()
        self._cost: dict[tuple[str, str, int], int] = defaultdict(int)
        self._minutes: dict[tuple[str, int], int] = defaultdict(int)
        self._tokens = [0] * len(BUCKETS)
        self._incidents: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])  # events, cost, usual cost
        self._first, self._last = 2**62, -(2**62)

    def observe(self, emissions: Iterable[Emission]) -> None:
        """Take note of what is about to be sent."""
        tokens: list[Buckets] = []
        for emission in emissions:
            self._sent[emission.kind] += 1
            if emission.reason:
                self._reasons[emission.reason] += 1
            elif emission.kind == EVENT and emission.record is not None:
                tokens.append(self._event(emission.record))
        self._tokens = [sum(column) for column in zip(self._tokens, *tokens, strict=True)]

    def _event(self, record: Mapping[str, Any]) -> Buckets:
        """Price one event and add it up; its tokens are handed back."""
        buckets = buckets_of(record)
        cost, status = self._book.price(record, buckets)
        self._statuses[status] += 1
        moment = record["occurred_at"]
        self._first, self._last = min(self._first, moment), max(self._last, moment)
        team = record["team"] or UNALLOCATED
        self._cost[team, "/".join(self._book.model_of(record)), moment // DAY] += cost
        self._minutes[team, moment // MINUTE] += cost
        if self._touched and (touch := self._touched.pop(record["event_id"], None)):
            self._incident(touch, cost)
        return buckets

    def _incident(self, touch: Touch, cost: int) -> None:
        sums = self._incidents[touch.incident.name]
        usual = touch.usual
        sums[0] += 1
        sums[1] += cost
        sums[2] += self._book.price(usual, buckets_of(usual))[0] if usual else 0

    def file(self, run_id: str, prefix: str, incidents: Iterable[Incident], dropped: Mapping[str, int]) -> TruthFile:
        """Everything observed so far; positions, rejects' places and times are the caller's to add."""
        truth = TruthFile(run_id, prefix)
        truth.sent_events = self._sent.total()
        truth.distinct_events = self._statuses.total()
        truth.duplicates = self._sent[DUPLICATE]
        truth.conflicts = self._sent[CONFLICT]
        truth.statuses = {status: self._statuses[status] for status in ("priced", "partial", "unpriced")}
        truth.rejected_by_reason = dict(sorted(self._reasons.items()))
        truth.tokens = dict(zip((f"{name}_tokens" for name in BUCKETS), self._tokens, strict=True))
        if self._statuses:
            truth.first_event_at, truth.last_event_at = iso(self._first), iso(self._last)
        self._sums(truth)
        truth.incidents = [self._story(incident, dropped.get(incident.name, 0)) for incident in incidents]
        return truth

    def _sums(self, truth: TruthFile) -> None:
        truth.cost_pico_usd = sum(self._cost.values())
        for (team, model, day), cost in sorted(self._cost.items()):
            name = iso(day * DAY)[:10]
            _add(truth.cost_pico_usd_by_team, team, cost)
            _add(truth.cost_pico_usd_by_model, model, cost)
            _add(truth.cost_pico_usd_by_day, name, cost)
            _add(truth.cost_pico_usd_by_team_model.setdefault(team, {}), model, cost)
            _add(truth.cost_pico_usd_by_team_model_day.setdefault(team, {}).setdefault(model, {}), name, cost)
        for (team, minute), cost in sorted(self._minutes.items()):
            truth.cost_pico_usd_by_team_minute.setdefault(team, {})[iso(minute * MINUTE)[:16] + "Z"] = cost

    def _story(self, incident: Incident, dropped: int) -> dict[str, Any]:
        events, cost, usual = self._incidents[incident.name]
        return {
            "name": incident.name,
            "kind": incident.kind,
            "start": iso(incident.start),
            "end": iso(incident.end),
            "match": dict(incident.match),
            "events": events,
            "dropped_events": dropped,
            "cost_pico_usd": cost,
            "excess_pico_usd": cost - usual,
        }


def reject_reason(record: Mapping[str, Any]) -> str:
    """Why this event can never be billed; empty when it can."""
    try:
        buckets_of(record)
    except Rejected as rejected:
        return str(rejected)
    return ""


def expected_rows(expected: Iterable[Expected]) -> list[dict[str, Any]]:
    """Rejects as they stand in the file, in order of position."""
    rows = [asdict(one) for one in expected]
    return sorted(rows, key=lambda row: (row["partition"], row["offset"], row["item"]))


def iso(micros: int) -> str:
    """RFC 3339, UTC, microseconds."""
    return (EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _add(sums: Amounts, key: str, amount: int) -> None:
    sums[key] = sums.get(key, 0) + amount
