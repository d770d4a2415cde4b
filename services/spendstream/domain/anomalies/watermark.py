"""Which minutes of one organisation are complete: event time of the records, helped by the clock only when they stop.

A partition of `usage` is read in long runs when a backlog is drained, so partitions may be hours of event time apart.
Where deltas name their `source_partition`, the slowest partition decides; one that has been silent for a while of clock
time no longer holds the others back: for `stall_seconds`, or, where its records are old by the clock, `replay_seconds`,
because whoever drains a backlog may be long about another partition. Records of partition NO_TIME (corrections, which
come from no usage) tell no time at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MICROS: Final = 1_000_000
MINUTE_MICROS: Final = 60 * MICROS
NO_TIME: Final = -1
_UNSEEN: Final = -(2**62)
_NO_LIMIT: Final = 2**62


@dataclass(frozen=True)
class Lateness:
    """How long to wait for records; seconds."""

    allowed_seconds: int = 60
    stall_seconds: int = 30
    replay_seconds: int = 600
    # A stream that is silent this long has its last minutes closed; after `idle_seconds` its time follows the clock.
    quiet_seconds: int = 120
    idle_seconds: int = 600
    # Silence moves time only in a stream that was live, not in a replay of last month.
    live_seconds: int = 7200

    @property
    def minutes(self) -> int:
        return -(-self.allowed_seconds // 60)


@dataclass
class Watermark:
    """Progress of one organisation. Minutes are counted since the epoch; clock times are microseconds."""

    lateness: Lateness
    source_partitions: int = 1
    first_open: int = _UNSEEN
    since: int | None = None
    #: The minute of the first record.
    first: int = _UNSEEN
    newest: dict[int, int] = field(default_factory=dict)
    heard: dict[int, int] = field(default_factory=dict)

    def assign(self, minutes: Ints, partitions: Ints, now: int) -> Ints:
        """The minute with which each record closes, given the records before it, in log order.

        That is its own minute, or, for a late record, the first minute that was still open when it came.
        """
        if not len(minutes):
            return minutes
        present = [int(p) for p in np.unique(partitions) if p != NO_TIME]
        if self.since is None and present:
            self.since, self.first = now, int(minutes[partitions != NO_TIME][0])
        for partition in present:
            self.heard[partition] = now
        opens = np.full(len(minutes), self.first_open, dtype=np.int64)
        lowest = np.full(len(minutes), _NO_LIMIT, dtype=np.int64)
        holding = self._holding(now) if present else {}
        for partition, counts_unseen in holding.items():
            seen = np.where(partitions == partition, minutes, _UNSEEN)
            seen[0] = max(int(seen[0]), self.newest.get(partition, _UNSEEN))
            seen = np.maximum.accumulate(seen)
            if not counts_unseen:
                seen[seen == _UNSEEN] = _NO_LIMIT
            lowest = np.minimum(lowest, seen)
        if holding:
            opens = np.maximum.accumulate(np.maximum(opens, lowest - self.lateness.minutes))
        for partition in present:
            newest = int(minutes[partitions == partition].max())
            self.newest[partition] = max(newest, self.newest.get(partition, _UNSEEN))
        self.first_open = int(opens[-1])
        return np.maximum(minutes, opens)

    def tick(self, now: int) -> None:
        """Let the clock close what a silent stream left open."""
        if not self.newest:
            return
        last_heard, newest = max(self.heard.values()), max(self.newest.values())
        silent = (now - last_heard) // MICROS
        holding = self._holding(now)
        if silent >= self.lateness.stall_seconds and not any(p not in self.newest for p in holding):
            slowest = min((self.newest[p] for p in holding), default=newest)
            self.first_open = max(self.first_open, slowest - self.lateness.minutes)
        if silent >= self.lateness.quiet_seconds and not holding:
            self.first_open = max(self.first_open, newest + 1)
        behind = (last_heard - newest * MINUTE_MICROS) // MICROS
        if silent >= self.lateness.idle_seconds and behind < self.lateness.live_seconds:
            clock_minute = now // MINUTE_MICROS - self.lateness.minutes
            self.first_open = max(self.first_open, clock_minute)

    def _holding(self, now: int) -> dict[int, bool]:
        """The partitions that may hold time back, and whether they do so before their first record.

        At the start every expected partition is waited for; later only those heard from lately count.
        """
        starting = self.since is not None and now - self.since <= self._patience(self.first, now)
        expected = range(self.source_partitions) if starting and self.source_partitions > 1 else range(0)
        heard = {
            p: p in expected
            for p, at in self.heard.items()
            if now - at <= self._patience(self.newest.get(p, _UNSEEN), now)
        }
        return heard | dict.fromkeys(expected, True)

    def _patience(self, minute: int, now: int) -> int:
        """How long a partition that stands at a minute may be silent; microseconds."""
        live = now - minute * MINUTE_MICROS <= self.lateness.live_seconds * MICROS
        return (self.lateness.stall_seconds if live else self.lateness.replay_seconds) * MICROS

    def snapshot(self) -> dict[str, Any]:
        return {
            "first_open": self.first_open,
            "since": self.since,
            "first": self.first,
            "newest": {str(p): m for p, m in self.newest.items()},
            "heard": {str(p): at for p, at in self.heard.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.first_open = state["first_open"]
        self.since, self.first = state["since"], state["first"]
        self.newest = {int(p): m for p, m in state["newest"].items()}
        self.heard = {int(p): at for p, at in state["heard"].items()}
