"""Detector `user_10x`: a user's last hour costs ten times this user's own normal hour (domain.md §6).

Normal is the mean over the hours in which the user spent anything, on the last fourteen days that had any (not today):
someone who works three hours a day is not ten times normal every morning. Read from `caller` rows only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spendstream.domain.anomalies.columns import Ints
from spendstream.domain.anomalies.incidents import Finding, Phase
from spendstream.domain.slots import OTHER, Slots
from spendstream.domain.wording import clock, usd

_DAYS: Final = 14
_TIMES: Final = 10
_CALM_TIMES: Final = 5
_MIN_DAYS: Final = 2
_MIN_HOURS: Final = 6
FLOOR_PICO: Final = 5 * 10**12
_NEW_NORMAL_MINUTES: Final = 1440


@dataclass(frozen=True)
class Callers:
    """Rows of one minute: `slots` (unique), their money, and where it went ("team/service on model" of the dearest)."""

    slots: npt.NDArray[np.int64]
    cost: Ints
    places: tuple[str, ...]
    teams: tuple[str, ...]


@dataclass
class Firing:
    """One open incident; minutes since the epoch, money in pico-dollars."""

    started: int
    normal: int
    observed: int
    place: str
    team: str


class User10x:
    """State: last hour by minute, fourteen active days, open incidents; per user."""

    name: Final = "user_10x"

    def __init__(self, cap: int) -> None:
        self.slots = Slots(
            cap,
            {
                "ring": ((60,), "<i8", 0),
                "last_hour": ((), "<i8", 0),
                "hour": ((), "<i8", 0),  # money of the running hour of the clock
                "today": ((), "<i8", 0),
                "today_hours": ((), "<i8", 0),
                "days": ((_DAYS,), "<i8", 0),
                "days_hours": ((_DAYS,), "<i8", 0),
                "days_n": ((), "<i8", 0),
                "normal": ((), "<f8", np.inf),  # inf while there is too little history
            },
        )
        self.firing: dict[str, Firing] = {}
        self.minute: int | None = None

    def step(self, minute: int, callers: Callers | None) -> list[Finding]:
        """Judge one closed minute."""
        self._enter(minute)
        state = self.slots
        state["last_hour"][...] -= state["ring"][minute % 60]
        state["ring"][minute % 60] = 0
        findings: list[Finding] = []
        if callers is not None:
            for name in ("last_hour", "hour"):
                state[name][callers.slots] += callers.cost
            state["ring"][minute % 60, callers.slots] = callers.cost
            state["seen"][callers.slots] = minute
        findings += [self._follow(key, minute) for key in list(self.firing)]
        if callers is not None:
            spent = state["last_hour"][callers.slots]
            hot = (spent >= _TIMES * state["normal"][callers.slots]) & (spent >= FLOOR_PICO)
            findings += [f for i in np.flatnonzero(hot).tolist() if (f := self._open(callers, i, minute)) is not None]
        return findings

    def _enter(self, minute: int) -> None:
        """Book the hour and the day that ended. Hours of an open incident do not become normal."""
        last, self.minute = self.minute, minute
        if last is None or last // 60 == minute // 60:
            return
        state = self.slots
        firing = [state.index[key] for key in self.firing]
        state["hour"][firing] = 0
        spent = state["hour"] > 0
        state["today"][spent] += state["hour"][spent]
        state["today_hours"][spent] += 1
        state["hour"][...] = 0
        if last // 1440 != minute // 1440:
            self._end_day()

    def _end_day(self) -> None:
        state = self.slots
        active = np.flatnonzero(state["today_hours"] > 0)
        at = state["days_n"][active] % _DAYS
        state["days"][at, active] = state["today"][active]
        state["days_hours"][at, active] = state["today_hours"][active]
        state["days_n"][active] += 1
        state["today"][...] = 0
        state["today_hours"][...] = 0
        hours = state["days_hours"].sum(axis=0)
        enough = (state["days_n"] >= _MIN_DAYS) & (hours >= _MIN_HOURS)
        mean = state["days"].sum(axis=0, dtype=np.float64) / np.maximum(hours, 1)
        state["normal"][...] = np.where(enough, mean, np.inf)

    def _open(self, callers: Callers, i: int, minute: int) -> Finding | None:
        slot = int(callers.slots[i])
        key = self.slots.keys[slot]
        if key in self.firing or key == OTHER:
            return None
        spent = int(self.slots["last_hour"][slot])
        normal = round(float(self.slots["normal"][slot]))
        ring = self.slots["ring"][:, slot]
        active = [back for back in range(60) if ring[(minute - back) % 60] * 60 > _TIMES * normal]
        started = minute - max(active, default=0)
        self.firing[key] = Firing(started, normal, spent, callers.places[i], callers.teams[i])
        return self._finding("open", key, minute)

    def _follow(self, key: str, minute: int) -> Finding:
        firing, slot = self.firing[key], self.slots.index[key]
        firing.observed += int(self.slots["ring"][minute % 60, slot])
        calm = int(self.slots["last_hour"][slot]) < _CALM_TIMES * firing.normal
        if not calm and minute - firing.started < _NEW_NORMAL_MINUTES:
            return self._finding("hold", key, minute)
        finding = self._finding("close", key, minute)
        del self.firing[key]
        return finding

    def _finding(self, phase: Phase, key: str, minute: int) -> Finding:
        firing = self.firing[key]
        spent = int(self.slots["last_hour"][self.slots.index[key]])
        normal = usd(firing.normal)
        title = f"user {key} spent {usd(spent)} in the last hour instead of {normal}, mostly on {firing.place}"
        if phase == "close":
            since = clock(firing.started)
            title = f"user {key} spent {usd(firing.observed)} since {since} and is back to normal ({normal} an hour)"
        return Finding(
            phase=phase,
            name=self.name,
            key=key,
            scope={"user_id": key},
            minute=minute,
            started=firing.started,
            expected=round(firing.normal * max(minute - firing.started + 1, 60) / 60),
            observed=firing.observed,
            per_hour=max(0, spent - firing.normal),
            title=title,
            cause=f"most of it is {firing.place}",
            owner=firing.team,
            score=round(spent / max(firing.normal, 1), 2),
        )

    def snapshot(self) -> dict[str, Any]:
        firing = {key: dict(vars(each)) for key, each in self.firing.items()}
        return {"slots": self.slots.snapshot(), "firing": firing, "minute": self.minute}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.slots.restore(state["slots"])
        self.firing = {key: Firing(**each) for key, each in state["firing"].items()}
        self.minute = state["minute"]
