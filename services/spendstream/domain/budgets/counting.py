"""All counters of all budgets: opened from the cube when first needed, slid or closed when their time comes."""

import heapq
from collections.abc import Iterable
from typing import Any, Final

from spendstream.domain.alerts import AlertBook
from spendstream.domain.budgets.counters import Counter, Key, Tracked
from spendstream.domain.budgets.ladder import Turn, conclude, evaluate
from spendstream.domain.budgets.spend import HORIZON, Spend
from spendstream.domain.budgets.windows import DAY, HOUR, QUARTER_HOUR

ROLLING: Final = 0  # under which a rolling window's only counter is kept
_LONGEST_DAY: Final = DAY + 2 * HOUR


class Counting:
    """Budgets by (org, name), each with its counters, and an agenda of the instants at which one of them changes."""

    def __init__(self, spend: Spend, book: AlertBook) -> None:
        self.tracked: dict[Key, Tracked] = {}
        self._spend, self._book = spend, book
        self._agenda: list[tuple[int, Key, int]] = []

    def counters(self, budgets: Iterable[Tracked], minute: int, now: int) -> list[tuple[Tracked, Counter]]:
        """The counters of these budgets that `minute` belongs in; a rolling window may not hold it."""
        found = ((tracked, self._counter(tracked, minute, now)) for tracked in budgets)
        return [(tracked, counter) for tracked, counter in found if counter is not None]

    def open(self, tracked: Tracked, start: int, end: int, now: int) -> Counter:
        """Start counting a window at what the cube already holds of it; levels below that count as dealt with."""
        spent = self._spend.of(tracked, start, end)
        counter = Counter(start, end, spent, start, tracked.levels_reached(spent), closed=end <= now)
        if tracked.is_rolling:
            self._move_anchor(tracked, start)
        self.put(tracked, counter, now)
        return counter

    def put(self, tracked: Tracked, counter: Counter, now: int) -> None:
        """Keep a counter and note when it begins and ends."""
        slot = ROLLING if tracked.is_rolling else counter.start
        tracked.counters[slot] = counter
        if counter.start > now:
            heapq.heappush(self._agenda, (counter.start, tracked.key, slot))
        heapq.heappush(self._agenda, (counter.end, tracked.key, slot))

    def advance(self, turn: Turn) -> bool:
        """Do what is due by `turn.now`: windows begin to count for enforcement, slide, or end. Says whether any did."""
        due = bool(self._agenda) and self._agenda[0][0] <= turn.now
        while self._agenda and self._agenda[0][0] <= turn.now:
            _, key, slot = heapq.heappop(self._agenda)
            tracked = self.tracked.get(key)
            counter = tracked.counters.get(slot) if tracked else None
            if tracked is None or counter is None:
                continue  # its document changed in the meantime
            if tracked.is_rolling:
                self._slide(tracked, counter, turn)
            elif counter.end <= turn.now:
                self._close(tracked, counter, turn)
            turn.touch(tracked)
        return due

    def prune(self, now: int) -> None:
        """Drop closed counters that nothing can reach any more."""
        for tracked in self.tracked.values():
            for slot in [slot for slot, c in tracked.counters.items() if c.closed and c.end < now - HORIZON]:
                del tracked.counters[slot]

    def snapshot(self) -> list[list[Any]]:
        """One plain row per counter; spend as text, because it may exceed 64 bits."""
        return [
            [*key, c.start, c.end, str(c.spent), c.event_at, c.closed]
            for key, tracked in self.tracked.items()
            for c in tracked.counters.values()
        ]

    def restore(self, rows: Iterable[list[Any]], now: int) -> None:
        """Put back the counters of budgets that are tracked already."""
        for org, name, start, end, spent, event_at, closed in rows:
            tracked = self.tracked[org, name]
            reached = tracked.levels_reached(int(spent))
            self.put(tracked, Counter(start, end, int(spent), event_at, reached, closed), now)

    def _counter(self, tracked: Tracked, minute: int, now: int) -> Counter | None:
        if not tracked.is_rolling:
            start, end = tracked.calendar.at(minute)
            return tracked.counters.get(start) or self.open(tracked, start, end, now)
        start, end = tracked.calendar.at(now)
        if not start <= minute < end:
            return None
        return tracked.counters.get(ROLLING) or self.open(tracked, start, end, now)

    def _close(self, tracked: Tracked, counter: Counter, turn: Turn) -> None:
        if not counter.closed:
            counter.closed = True
            turn.finish(tracked, counter)
            conclude(self._book, tracked, counter, turn)
        # A late delta reopens a short window from the cube; a longer one may outlive its part of the cube.
        if counter.end - counter.start <= _LONGEST_DAY:
            del tracked.counters[counter.start]

    def _slide(self, tracked: Tracked, counter: Counter, turn: Turn) -> None:
        start, end = tracked.calendar.at(turn.now)
        if counter.end == end:
            return
        counter.start, counter.end = start, end
        counter.spent = self._spend.of(tracked, start, end)
        counter.event_at = max(counter.event_at, end - QUARTER_HOUR)
        self._move_anchor(tracked, start)
        evaluate(self._book, tracked, counter, turn)
        if counter.spent == 0:
            del tracked.counters[ROLLING]
        else:
            self.put(tracked, counter, turn.now)

    def _move_anchor(self, tracked: Tracked, start: int) -> None:
        """A rolling window's alert begins anew once it has resolved and shares no hour with the window that fired."""
        anchor = tracked.anchor if tracked.anchor is not None else start
        entry = self._book.entries.get(tracked.alert_id(anchor))
        window = tracked.budget.window.rolling_hours * HOUR
        if entry is None or (not entry.is_open and start >= anchor + window):
            tracked.anchor = start
