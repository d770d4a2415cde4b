"""What a network and careless producers do to a clean stream: late, doubled, conflicting and broken records.

Works on event time: each record leaves at `send_at`, normally when it occurred. Pure and seeded.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from loadgen.people import Record
from loadgen.poison import FORMS, poison
from loadgen.wire import UsageEncoder
from loadgen.world import SECOND

EVENT, DUPLICATE, CONFLICT, POISON = "event", "duplicate", "conflict", "poison"


@dataclass(frozen=True)
class Faults:
    """Shares of the events (0..1) and how late a delayed or re-sent record leaves, seconds of event time."""

    duplicates: float = 0.0
    conflicts: float = 0.0
    poison: float = 0.0
    poison_forms: tuple[str, ...] = FORMS
    late: float = 0.0
    late_by_s: float = 900.0
    resend_after_s: float = 120.0
    size_limit_records: int = 3  # a megabyte each: a few prove it


@dataclass(frozen=True, slots=True)
class Emission:
    """One thing to send. `record` is None exactly when `raw` poison goes out as it is."""

    send_at: int
    kind: str
    record: Record | None
    event_id: str
    reason: str = ""
    form: str = ""
    raw: bytes | None = None


class Disorder:
    """Feed it records in order of time; it hands out what leaves by then, in order of leaving."""

    def __init__(self, faults: Faults, seed: int, prefix: str) -> None:
        self._faults = faults
        self._rng = np.random.default_rng([seed, 0xD150])
        self._encoder = UsageEncoder()
        self._held: list[tuple[int, int, Emission]] = []
        self._order = count()
        self._prefix = prefix
        self._poisoned = 0
        self._large = 0

    def feed(self, until: int, records: list[Record]) -> list[Emission]:
        """Everything that leaves before `until`, given the records that occurred before it."""
        late, again, conflicting, spoilt = self._choices(len(records))
        out = []
        for place, record in enumerate(records):
            at = record["occurred_at"]
            if late[place]:
                at += self._delay(self._faults.late_by_s)
            emission = Emission(at, EVENT, record, record["event_id"])
            if at < until:
                out.append(emission)
            else:
                self._hold(emission)
            if again[place]:
                self._hold(
                    Emission(at + self._delay(self._faults.resend_after_s), DUPLICATE, record, record["event_id"])
                )
            if conflicting[place]:
                self._hold(self._conflict(at + self._delay(self._faults.resend_after_s), record))
            if spoilt[place]:
                out.append(self._poison(record, min(at, until - 1)))
        out.extend(self._released(until))
        out.sort(key=lambda emission: emission.send_at)  # stable: an original stays before what was made of it
        return out

    def flush(self) -> list[Emission]:
        """What is still held back, in order."""
        return list(self._released(None))

    def _choices(self, n: int) -> list[list[bool]]:
        shares = (self._faults.late, self._faults.duplicates, self._faults.conflicts, self._faults.poison)
        return [(self._rng.random(n) < share).tolist() if share else [False] * n for share in shares]

    def _delay(self, at_most_s: float) -> int:
        return 1 + int(self._rng.random() * at_most_s * SECOND)

    def _hold(self, emission: Emission) -> None:
        heapq.heappush(self._held, (emission.send_at, next(self._order), emission))

    def _released(self, until: int | None) -> Iterator[Emission]:
        while self._held and (until is None or self._held[0][0] < until):
            yield heapq.heappop(self._held)[2]

    def _conflict(self, at: int, record: Record) -> Emission:
        other = {**record, "output_tokens": record["output_tokens"] + 1_000}
        return Emission(at, CONFLICT, other, record["event_id"], CONFLICT, CONFLICT)

    def _poison(self, record: Record, at: int) -> Emission:
        forms = self._faults.poison_forms
        form = forms[self._poisoned % len(forms)]
        if form == "size_limit":
            self._large += 1
            if self._large > self._faults.size_limit_records:
                form = "negative_tokens"
        self._poisoned += 1
        event_id = f"{self._prefix}poison-{self._poisoned:06x}"
        made = poison(form, {**record, "event_id": event_id, "attributes": {}}, self._encoder)
        kind = POISON if made.reason else EVENT
        return Emission(at, kind, made.record, event_id, made.reason, form, made.value)
