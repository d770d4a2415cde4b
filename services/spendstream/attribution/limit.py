"""The limit on mass rejection: a producer that went wrong stops its partition loudly instead of draining it."""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from spendstream.domain.alerts import fingerprint
from spendstream.runtime import clock
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.retry import NotNowError
from spendstream.schemas import encode

#: How far ahead of the broker's clock a record may claim to have happened.
FUTURE_US = 5 * 60 * 1_000_000
WINDOW_EVENTS = 10_000
LEAST_EVENTS = 1_000


class RejectLimit:
    """Share of rejected events over the last `WINDOW_EVENTS` of one partition."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._recent: deque[tuple[int, int]] = deque()

    def allows(self, events: int, rejected: int) -> bool:
        """Whether a batch with so many rejected events may still go through."""
        seen = events + sum(before for before, _ in self._recent)
        refused = rejected + sum(before for _, before in self._recent)
        return seen < LEAST_EVENTS or refused <= self._share * seen

    def note(self, events: int, rejected: int) -> None:
        """Take a batch that went through into the window."""
        self._recent.append((events, rejected))
        while sum(events for events, _ in self._recent) > WINDOW_EVENTS and len(self._recent) > 1:
            self._recent.popleft()


class RejectGate:
    """Holds one partition back while most of what comes would be rejected, and says so once on `alerts`."""

    def __init__(self, publisher: Publisher, topic: str, partition: int, incarnation: str, share: float) -> None:
        self._publisher = publisher
        self._topic, self._partition, self._incarnation = topic, partition, incarnation
        self._limit = RejectLimit(share)
        self._held_back, self._alerted = False, 0

    async def admit(self, events: int, rejected: int, reasons: Iterable[str]) -> None:
        """Let a batch pass, or raise `NotNowError`; `reasons` are those of its rejections."""
        allowed = self._limit.allows(events, rejected)
        reason = "" if allowed else Counter(reasons).most_common(1)[0][0]
        if self._held_back == allowed:
            alert = mass_rejection_alert(
                self._topic, self._partition, self._incarnation, events, rejected, reason, self._alerted + 1,
                not allowed, clock.now_us(),
            )  # fmt: skip
            await self._publisher.send("alerts", [(alert["alert_id"].encode(), encode("Alert", alert))])
            self._held_back, self._alerted = not allowed, self._alerted + 1
        if not allowed:
            place = f"{self._topic}/{self._partition}"
            raise NotNowError(f"{rejected} of {events} events of {place} would be rejected ({reason})")
        self._limit.note(events, rejected)


def mass_rejection_alert(
    topic: str,
    partition: int,
    incarnation: str,
    events: int,
    rejected: int,
    reason: str,
    revision: int,
    firing: bool,
    now: int,
) -> dict[str, Any]:
    """Alert record: a partition of a topic stands still because most of it would be rejected, or goes on again."""
    scope = {"topic": topic, "partition": str(partition)}
    share = f"{rejected} of {events} events"
    return {
        "alert_id": fingerprint("pipeline", "mass_rejection", {**scope, "incarnation": incarnation}, None),
        "kind": "pipeline",
        "name": "mass_rejection",
        "state": "firing" if firing else "resolved",
        "severity": "page",
        "revision": revision,
        "scope": scope,
        "title": f"{topic}/{partition} stands still: {share} would be rejected ({reason})"
        if firing
        else f"{topic}/{partition} goes on",
        "description": "Nothing was lost: the records stay in Kafka until most of them can be taken.",
        "runbook": "Find the producer with `spendstream dead-letters show`; fix it, or accept the rejections by"
        " restarting attribution with SPENDSTREAM_REJECT_LIMIT=1.",
        "started_at": now,
        "updated_at": now,
        "resolved_at": None if firing else now,
        "emitted_at": now,
    }
