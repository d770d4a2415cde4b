"""The limit on mass rejection: a producer that went wrong stops its partition loudly instead of draining it."""

from collections import deque
from typing import Any

from spendstream.domain.alerts import fingerprint

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


def mass_rejection_alert(
    partition: int,
    incarnation: str,
    events: int,
    rejected: int,
    reason: str,
    revision: int,
    firing: bool,
    now: int,
    topic: str = "usage",
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
