"""Detector `hour_3x`: an hour of a team or service costs three times what its hours cost the day before (domain.md §6).

The running hour is compared with the previous UTC day's average hour and fires as soon as it passes three times that.
It must also be twice the dearest ordinary hour at this time of day in the last week: a peak that comes every morning,
or every Monday, is season. A day that was seen for less than twelve hours, or cost nothing, is no reference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from spendstream.domain.anomalies.columns import Ints
from spendstream.domain.anomalies.incidents import Finding, Phase
from spendstream.domain.anomalies.series import Floats
from spendstream.domain.slots import JOIN, OTHER, Slots
from spendstream.domain.wording import clock, usd

_HOURS: Final = 192  # eight days
_TIMES: Final = 3
_TIMES_SEASON: Final = 2.0
_MIN_LENGTH: Final = 20
_MIN_HISTORY_HOURS: Final = 12
FLOOR_PICO: Final = 10**12  # excess of the hour
_NEW_NORMAL_HOURS: Final = 24

Why = Callable[[Mapping[str, str], int], str]


@dataclass
class Firing:
    """One open incident; hours since the epoch, money in pico-dollars. `average` is that of the day before it."""

    first_hour: int
    average: int
    past_hours: int = 0  # money of the hours that have ended


class Hour3x:
    """State: hourly spend of eight days per entity (`team`, or `team` and `service`), open incidents."""

    name: Final = "hour_3x"

    def __init__(self, cap: int) -> None:
        self.slots = Slots(cap, {"hours": ((_HOURS,), "<i8", 0), "ordinary": ((_HOURS,), "<i8", 0)})
        self.firing: dict[str, Firing] = {}
        self.hour: int | None = None

    def step(self, minute: int, cost: Ints, late: list[tuple[int, int, int]], why: Why) -> list[Finding]:
        """Judge one closed minute: `cost` [entity] pico-dollars; `late` (entity, hour, pico-dollars) of hours past.

        `why(scope, minute)` explains the last hour of a scope.
        """
        self._enter(minute // 60)
        hours = self.slots["hours"]
        for entity, hour, amount in late:
            if minute // 60 - _HOURS < hour <= minute // 60:
                hours[hour % _HOURS, entity] += amount
        spent = hours[minute // 60 % _HOURS]
        spent += cost
        self.slots["seen"][cost != 0] = minute
        average, season = self._references(minute)
        findings = [self._follow(key, minute, why) for key in list(self.firing)]
        hot = (average > 0) & (spent >= _TIMES * average) & (spent - average >= FLOOR_PICO)
        if hot.any():
            hot &= spent >= _TIMES_SEASON * season
            for slot in np.flatnonzero(hot).tolist():
                key = self.slots.keys[slot]
                if key not in self.firing:
                    self.firing[key] = Firing(minute // 60, round(float(average[slot])))
                    findings.append(self._finding("open", key, minute, why))
        return findings

    def _enter(self, hour: int) -> None:
        if self.hour is not None and hour > self.hour:
            self.slots["ordinary"][self.hour % _HOURS] = self.slots["hours"][self.hour % _HOURS]
            for firing_key, firing in self.firing.items():
                slot = self.slots.index[firing_key]
                firing.past_hours += int(self.slots["hours"][self.hour % _HOURS, slot])
                self.slots["ordinary"][self.hour % _HOURS, slot] = firing.average
            for passed in range(max(self.hour + 1, hour - _HOURS + 1), hour + 1):
                self.slots["hours"][passed % _HOURS] = 0
                self.slots["ordinary"][passed % _HOURS] = 0
        self.hour = hour

    def _references(self, minute: int) -> tuple[Floats, Floats]:
        """Yesterday's average hour, and the dearest ordinary hour at this time of day in a week; pico-dollars."""
        hours, hour = self.slots["hours"], minute // 60
        yesterday = (hour // 24 - 1) * 24
        total = hours[[(yesterday + i) % _HOURS for i in range(24)]].sum(axis=0, dtype=np.float64)
        known = np.clip(yesterday + 24 - self.slots["born"] // 60, 0, 24)
        average = np.where(known >= _MIN_HISTORY_HOURS, total / np.maximum(known, 1), 0.0)
        alike = [(hour - 24 * day + beside) % _HOURS for day in range(1, 8) for beside in (-1, 0, 1)]
        season = self.slots["ordinary"][alike].max(axis=0).astype(np.float64)
        return average, season

    def _follow(self, key: str, minute: int, why: Why) -> Finding:
        """An hour that ends below the line ends the incident; so does a whole day, which is then the new normal."""
        firing = self.firing[key]
        spent = int(self.slots["hours"][minute // 60 % _HOURS, self.slots.index[key]])
        lasted = minute // 60 - firing.first_hour
        over = spent < _TIMES * firing.average or lasted >= _NEW_NORMAL_HOURS
        if minute % 60 < 59 or not over:
            return self._finding("hold", key, minute, why)
        finding = self._finding("close", key, minute, why)
        del self.firing[key]
        return finding

    def _finding(self, phase: Phase, key: str, minute: int, why: Why) -> Finding:
        firing = self.firing[key]
        hour_start = minute // 60 * 60
        elapsed = minute - hour_start + 1
        spent = int(self.slots["hours"][minute // 60 % _HOURS, self.slots.index[key]])
        scope = scope_of(key)
        where = "/".join(scope.values())
        start = firing.first_hour * 60
        average = usd(firing.average)
        observed = firing.past_hours + spent
        expected = round(firing.average * (minute - start + 1) / 60)
        cause = why(scope, minute) if phase == "open" else ""
        title = (
            f"{where} spent {usd(spent)} in {elapsed} min since {clock(hour_start)}, "
            f"an average hour of the day before cost {average}"
        )
        if phase == "close":
            since = clock(start)
            title = (
                f"{where} spent {usd(observed)} since {since} where the day before it was {usd(expected)}: hour over"
            )
        return Finding(
            phase=phase,
            name=self.name,
            key=key,
            scope=scope,
            minute=minute,
            started=start,
            expected=expected,
            observed=observed,
            per_hour=max(0, round(spent * 60 / max(elapsed, _MIN_LENGTH)) - firing.average),
            title=f"{title}: {cause}" if cause else title,
            cause=cause,
            owner=scope["team"],
            score=round(spent / max(firing.average * max(elapsed, _MIN_LENGTH) / 60, 1.0), 2),
            window=(start, hour_start + 60),
        )

    def snapshot(self) -> dict[str, Any]:
        firing = {key: dict(vars(each)) for key, each in self.firing.items()}
        return {"slots": self.slots.snapshot(), "firing": firing, "hour": self.hour}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.slots.restore(state["slots"])
        self.firing = {key: Firing(**each) for key, each in state["firing"].items()}
        self.hour = state["hour"]


def scope_of(key: str) -> dict[str, str]:
    """`team` → team; `team`, `service` → both. The overflow bucket is a team of its own."""
    if key == OTHER:
        return {"team": OTHER}
    return dict(zip(("team", "service"), key.split(JOIN), strict=False))
