"""Detector `spike`: a series (team × service × model) costs far more than it does at this hour.

Four channels, each with its own false-alarm budget: spend of 5 and of 60 minutes against level and season, cost per
request of 3 and of 30 minutes against its level (it catches a price or token-length jump in the first minute, whatever
the volume). A channel is hot when its ratio, its score (robust z, above the largest ordinary one of late) and its money
all pass; an incident opens after consecutive hot minutes, or one unmistakable minute.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from spendstream.domain.anomalies import baseline
from spendstream.domain.anomalies.baseline import Mask
from spendstream.domain.anomalies.cause import explain
from spendstream.domain.anomalies.columns import COST, REQUESTS
from spendstream.domain.anomalies.incidents import Finding, Phase
from spendstream.domain.anomalies.series import RING, SPANS, STEP, Floats, SeriesTable
from spendstream.domain.wording import clock, usd

SPEND_5, SPEND_60, UNIT_3, UNIT_30 = range(4)
_SPAN: Final = np.array([5, 60, 3, 30])
_AT: Final = [SPANS.index(span) for span in (5, 60, 3, 30)]
_BY_LEVEL: Final = np.array([False, False, True, True])
_RATIO: Final = np.log(np.array([3.0, 2.0, 1.8, 1.3]))
_SCORE: Final = np.array([3.5, 3.0, 7.0, 6.0])
_FLOOR_PICO: Final = np.array([0.5e12, 2e12, 0.25e12, 1e12])  # excess money inside the span
_SIGMA_FLOOR: Final = np.array([0.08, 0.08, 0.03, 0.03])
_PERSIST: Final = np.array([2, 3, 2, 3])  # hot minutes in a row
_MIN_REQUESTS: Final = np.array([0, 0, 10, 30])
# Spend below this is not told apart from silence: it keeps the logarithm of a quiet night finite.
_QUIET_PICO: Final = np.array([1e10, 1e11])
_PEAK_MARGIN: Final = 1.1
_UNMISTAKABLE_RATIO: Final = np.log(4.0)
_UNMISTAKABLE_REQUESTS: Final = 30
_CALM_MINUTES: Final = 15
_NEW_NORMAL_MINUTES: Final = 1440


@dataclass
class Firing:
    """One open incident. Money in pico-dollars, minutes since the epoch."""

    opened: int
    started: int
    hottest: int  # the last hot minute
    unit: bool  # opened by cost per request
    observed: int
    expected: int
    calm: int = 0
    #: Per channel, the largest value since it opened: lasting, it may become normal, and nothing beyond it.
    highest: list[float] = field(default_factory=lambda: [0.0] * len(_SPAN))


@dataclass(frozen=True)
class View:
    """One minute of all series, [channel, series]."""

    values: Floats
    requests: Floats
    valid: Mask
    ratio: Floats  # log of observed / upper edge of normal
    score: Floats
    hot: Mask


class Spike:
    """State: open incidents, and (in the series table's slots) a baseline and a hot streak per channel and series."""

    name: Final = "spike"
    layout: Final = {**baseline.layout(len(_SPAN)), "streak": ((len(_SPAN),), "<i8", 0)}

    def __init__(self, table: SeriesTable) -> None:
        self.table = table
        self.state = table.slots
        self.firing: dict[str, Firing] = {}

    def step(self, minute: int) -> list[Finding]:
        """Judge one closed minute that the table already holds; then, every STEP minutes, learn from it."""
        view = self._view(minute)
        streak = self.state["streak"]
        streak[...] = np.where(view.hot, streak + 1, 0)
        lasting = list(self.firing)
        findings = [self._hold(key, minute, view) for key in lasting]
        if view.hot.any():
            findings += self._open(minute, view, except_for=lasting)
        frozen = self._frozen()
        ordinary = view.valid & self.state["known"] & ~frozen
        baseline.remember_peaks(self.state, minute, view.score, ordinary)
        if minute % STEP == STEP - 1:
            settled = minute - self.state["born"] >= _SPAN[:, None]
            learnable = view.valid & settled & ~frozen
            counts = np.where(_BY_LEVEL[:, None], view.requests, 0.0)
            baseline.learn(self.state, minute, view.values, counts, valid=learnable, by_level=_BY_LEVEL)
            baseline.refresh(self.state, minute + 1, _BY_LEVEL)
            self.table.learn(~frozen)
        return findings

    def _view(self, minute: int) -> View:
        state, sums = self.state, self.state["sums"]
        cost = np.maximum(sums[_AT, COST].astype(np.float64), 0.0)
        requests = sums[_AT, REQUESTS].astype(np.float64)
        alive = state["born"] <= minute
        unit_valid = (requests >= _MIN_REQUESTS[:, None]) & (cost > 0)
        valid = alive & np.where(_BY_LEVEL[:, None], unit_valid, True)
        base = np.maximum(requests, 1.0)
        base[:UNIT_3] = 1.0
        cost_or_quiet = cost.copy()
        cost_or_quiet[:UNIT_3] += _QUIET_PICO[:, None]
        values = np.log(np.maximum(cost_or_quiet, 1.0) / base)
        ratio = values - state["upper"]
        counts = np.where(_BY_LEVEL[:, None], requests, 1e18)
        score = ratio / baseline.sigma(state, counts, _SIGMA_FLOOR)
        hot = valid & state["known"] & (ratio > _RATIO[:, None])
        if hot.any():
            hot &= score > np.maximum(_SCORE[:, None], _PEAK_MARGIN * state["peak"])
            with np.errstate(over="ignore"):
                hot &= cost - base * np.exp(state["upper"]) >= _FLOOR_PICO[:, None]
        return View(values, requests, valid, ratio, score, hot)

    def _open(self, minute: int, view: View, except_for: Collection[str]) -> list[Finding]:
        unmistakable = (
            view.hot
            & (view.ratio >= _UNMISTAKABLE_RATIO)
            & (view.score >= 2 * _SCORE[:, None])
            & (view.requests >= _UNMISTAKABLE_REQUESTS)
        )
        fires = (self.state["streak"] >= _PERSIST[:, None]) | unmistakable
        findings = []
        for slot in np.flatnonzero(fires.any(axis=0)).tolist():
            key = self.state.keys[slot]
            if key not in except_for:
                self.firing[key] = self._begin(minute, view, slot, fires[:, slot])
                findings.append(self._finding("open", key, minute, view))
        return findings

    def _begin(self, minute: int, view: View, slot: int, fires: Mask) -> Firing:
        channel = int(np.flatnonzero(fires)[-1]) if fires[UNIT_3:].any() else int(np.flatnonzero(fires)[0])
        unit = channel >= UNIT_3
        history = self.table.last(minute, slot, RING)
        normal = self._normal_minutes(history, slot, channel, unit)
        # Midway (in ratio) between the normal and the hottest minute separates the incident from what came before.
        hot = history[:, COST] > np.sqrt(normal * np.maximum(history[:, COST].max(), 1.0))
        length = 1
        while length < int(_SPAN[channel]) and hot[-length - 1]:
            length += 1
        observed = int(history[-length:, COST].sum())
        return Firing(minute, minute - length + 1, minute, unit, observed, round(float(normal[-length:].sum())))

    def _normal_minutes(self, history: Any, slot: int, channel: int, unit: bool) -> Floats:
        """Expected cost of each minute of `history` [minute, feature], pico-dollars."""
        rate = float(np.exp(self.state["centre"][channel, slot]))
        if unit:
            return np.asarray(rate * history[:, REQUESTS].astype(np.float64))
        return np.full(len(history), rate / float(_SPAN[channel]))

    def _hold(self, key: str, minute: int, view: View) -> Finding:
        firing, slot = self.firing[key], self.state.index[key]
        latest = self.table.last(minute, slot, 1)
        firing.observed += int(latest[0, COST])
        channel = UNIT_3 if firing.unit else SPEND_5
        firing.expected += round(float(self._normal_minutes(latest, slot, channel, firing.unit)[0]))
        values = np.where(view.valid[:, slot], view.values[:, slot], 0.0)
        firing.highest = np.maximum(firing.highest, values).tolist()
        warm = view.valid[:, slot] & (view.ratio[:, slot] > _RATIO / 2)
        if warm[[SPEND_5, UNIT_3]].any():
            firing.hottest = minute
        firing.calm = 0 if warm.any() else firing.calm + 1
        if minute - firing.opened >= _NEW_NORMAL_MINUTES:
            finding = self._close(key, minute, view, "lasting a day it is the new normal")
            self._adopt(slot, view, firing.highest)
            return finding
        if firing.calm >= _CALM_MINUTES:
            return self._close(key, minute, view, "back to normal")
        return self._finding("hold", key, minute, view)

    def _adopt(self, slot: int, view: View, highest: Sequence[float]) -> None:
        """What has lasted a day is the new normal; the longer span of each kind that has learned says by how much."""
        for pair in ((SPEND_60, SPEND_5), (UNIT_30, UNIT_3)):
            learned = [c for c in pair if view.valid[c, slot] and self.state["n"][c, slot]]
            if learned:
                slow = learned[0]
                shift = float(view.values[slow, slot] - self.state["centre"][slow, slot])
                for channel in learned:
                    baseline.adopt(self.state, channel, slot, shift, highest[channel])
        self.table.renew(slot)

    def _close(self, key: str, minute: int, view: View, why: str) -> Finding:
        last = self._finding("close", key, minute, view)
        firing = self.firing.pop(key)
        spent = f"{usd(firing.observed)} instead of {usd(firing.expected)} since {clock(firing.started)}"
        title = f"{_where(last.scope)} spent {spent}: {why}"
        return replace(last, title=title, cause="", ended=firing.hottest + 1)

    def _finding(self, phase: Phase, key: str, minute: int, view: View) -> Finding:
        firing, slot = self.firing[key], self.state.index[key]
        recent = self.table.last(minute, slot, min(minute - firing.started + 1, RING))
        hours = len(recent) / 60
        channel = UNIT_3 if firing.unit else SPEND_5
        expected = float(self._normal_minutes(recent, slot, channel, firing.unit).sum()) / hours
        observed = int(recent[:, COST].sum()) / hours
        scope = self.table.scope(slot)
        totals = recent.sum(axis=0).astype(np.float64)
        cause = explain(self.state["normal"][:, slot], totals, hours, expected, scope["model"])
        spends = f"{usd(round(observed))}/h instead of {usd(round(expected))}/h"
        return Finding(
            phase=phase,
            name=self.name,
            key=key,
            scope=scope,
            minute=minute,
            started=firing.started,
            expected=firing.expected,
            observed=firing.observed,
            per_hour=max(0, round(observed - expected)),
            title=f"{_where(scope)} spends {spends} since {clock(firing.started)}: {cause.text}",
            cause=f"{cause.text} ({cause.breakdown()})",
            owner=scope["team"],
            score=round(float(np.where(view.valid[:, slot], view.score[:, slot], 0.0).max()), 2),
        )

    def _frozen(self) -> Mask:
        frozen = np.zeros(self.state.width, dtype=bool)
        frozen[[self.state.index[key] for key in self.firing]] = True
        return frozen

    def snapshot(self) -> dict[str, Any]:
        return {key: dict(vars(firing)) for key, firing in self.firing.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.firing = {key: Firing(**firing) for key, firing in state.items()}


def _where(scope: Mapping[str, str]) -> str:
    return f"{scope['team']}/{scope['service']}"
