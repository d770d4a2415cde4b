"""Attribution's write-ahead log: which range of a usage partition is one batch, and how it was decided.

One partition of `attribution-plans` per partition of `usage`. Appending is compare-and-append: the broker's answer
says at which offset a plan landed, and any other offset than the expected one means that somebody else wrote in
between: this worker has lost the partition and must reload. Readers apply the same rule: a range whose `first` is not
the successor of the last valid one is void. So two workers that both believe they own a partition cannot both win.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spendstream.runtime.kafka.consume import StateLostError
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.kafka.reader import partition_reader, read_batches
from spendstream.runtime.settings import Settings
from spendstream.schemas import decode, encode

TOPIC = "attribution-plans"


class FencedError(StateLostError):
    """Another worker has appended to the plan log: this one no longer owns the partition."""


@dataclass(frozen=True)
class Plan:
    """One valid plan and the offset of the plan log it stands at."""

    at: int
    record: Mapping[str, Any]

    @property
    def first(self) -> int:
        return int(self.record["first"])

    @property
    def last(self) -> int:
        return int(self.record["last"])

    @property
    def incarnation(self) -> str:
        return str(self.record["incarnation"])


@dataclass
class PlanHistory:
    """What the log of one partition says: the incarnation in force and its valid plans in order.

    A log whose genesis has outlived its retention is believed from its oldest plan on; should that one be the loser of
    a race, the first pair of plans that follow each other settles it.
    """

    incarnation: str = ""
    next_first: int = 0
    plans: list[Plan] = field(default_factory=list)
    end: int = 0
    geneses: int = 0
    _unsettled: dict[int, Plan] = field(default_factory=dict)

    def add(self, at: int, record: Mapping[str, Any]) -> None:
        """Take one record of the log; void ones only move the end."""
        self.end = at + 1
        if record["kind"] == "genesis":
            self._open(record)
            return
        plan = Plan(at, record)
        if not self.incarnation:
            self.incarnation, self._unsettled = plan.incarnation, {plan.last + 1: plan}
            self._take(plan)
        elif plan.incarnation != self.incarnation:
            return
        elif plan.first == self.next_first:
            self._unsettled = {}
            self._take(plan)
        elif plan.first in self._unsettled:
            self.plans = [self._unsettled[plan.first]]
            self._unsettled = {}
            self._take(plan)
        elif self._unsettled:
            self._unsettled.setdefault(plan.last + 1, plan)

    def _open(self, record: Mapping[str, Any]) -> None:
        self.geneses += 1
        if record["incarnation"] != self.incarnation:  # the same one again: two workers opened an empty log at once
            self.incarnation, self.next_first, self.plans = str(record["incarnation"]), int(record["first"]), []
            self._unsettled = {}

    def _take(self, plan: Plan) -> None:
        self.next_first = plan.last + 1
        self.plans.append(plan)


@dataclass(frozen=True)
class UsagePartition:
    """A usage partition as the broker has it now; `horizon` is its first offset inside the deduplication horizon."""

    topic_id: str | None
    start: int
    end: int
    horizon: int

    def is_other_than(self, history: PlanHistory) -> bool:
        """True when the log speaks of a topic that is gone: by its id, else because it planned beyond the end."""
        if self.topic_id is not None:
            return self.topic_id != history.incarnation
        return history.next_first > self.end


def plan_record(kind: str, incarnation: str, first: int, last: int, **fields: Any) -> dict[str, Any]:
    """A record of the log with everything not named at its neutral value."""
    neutral: dict[str, Any] = {
        "control_offset": 0, "published_through": first - 1, "oldest_row": first, "rebuild_from": first,
        "duplicates": b"", "conflicts": b"", "overflows": b"",
        "events": 0, "priced": 0, "partial": 0, "unpriced": 0, "duplicate": 0, "rejected": 0,
    }  # fmt: skip
    return {**neutral, "kind": kind, "incarnation": incarnation, "first": first, "last": last, **fields}


class PlanLog:
    """The plan log of one usage partition, as its owner sees it."""

    def __init__(self, settings: Settings, publisher: Publisher, partition: int) -> None:
        self._settings = settings
        self._publisher = publisher
        self._partition = partition
        self._end = 0
        self.incarnation = ""

    async def load(self, usage: UsagePartition, start: int = 0) -> PlanHistory:
        """Read the log from offset `start`, which must hold a valid plan or be 0; open a new incarnation when there is
        none or the usage topic was created anew.
        """
        history = PlanHistory()
        async with partition_reader(self._settings, TOPIC, self._partition, start) as consumer:
            async for records in read_batches(consumer, TOPIC, self._partition):
                for record in records:
                    history.add(record.offset, decode(record.value)[1])
        self._end = history.end
        if not history.incarnation or usage.is_other_than(history):
            # Without topic ids, two workers that open the log at once must still agree on a name.
            incarnation = usage.topic_id or f"unidentified-{history.geneses}"
            genesis = plan_record("genesis", incarnation, usage.start, usage.start - 1)
            history.add(await self._append(genesis), genesis)
        self.incarnation = history.incarnation
        return history

    async def append(self, record: Mapping[str, Any]) -> Plan:
        """Make a plan durable. `FencedError` when another worker got there first."""
        return Plan(await self._append(record), record)

    async def _append(self, record: Mapping[str, Any]) -> int:
        at = await self._publisher.append(TOPIC, self._partition, encode("AttributionPlan", dict(record)))
        expected, self._end = self._end, at + 1
        if at != expected:
            raise FencedError(f"{TOPIC}/{self._partition}: plan landed at {at}, expected {expected}")
        return at
