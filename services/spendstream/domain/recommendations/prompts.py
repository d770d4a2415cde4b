"""How much of the traffic asks again what was asked within a day, from prompt hashes (the prompts never travel).

A request repeats when the same team, service and model sent the same prompt hash at most 24 h before. Up to `capacity`
different prompts (64-bit hashes of them, about 170 bytes each) are followed exactly; when more are alive, half of them
are dropped by hash and each remaining repeat counts double: uniform sampling, unbiased, the same whatever the batches.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from spendstream.domain.recommendations.profiles import DAY_MICROS, MINUTE_MICROS, window_start
from spendstream.domain.slots import pack, unpack

DEFAULT_CAPACITY: Final = 200_000
_BY: Final = ("org", "team", "service", "model")


class PromptTarget(NamedTuple):
    """Where prompts are compared."""

    org: str
    team: str
    service: str
    model: str


@dataclass(frozen=True)
class PromptProfile:
    """Fingerprinted requests that cost money in [`since`, `until`), microseconds; money in pico-dollars."""

    target: PromptTarget
    since: int
    until: int
    requests: int
    cost: int
    repeats: int
    repeat_cost: int
    sampling: int  # one in so many prompts is followed; 1: all

    @property
    def repeat_share(self) -> float:
        return self.repeats / self.requests if self.requests else 0.0


class Prompts:
    """State: last use of each followed prompt; per target and day [requests, cost, repeats, cost of the repeats]."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self.capacity = capacity
        self._halvings = 0
        self._last: dict[int, int] = {}
        self._newest = 0
        self._days: dict[PromptTarget, dict[int, list[int]]] = {}
        self._first: dict[PromptTarget, int] = {}
        self._until: dict[str, int] = {}

    def update(self, usage: pl.DataFrame) -> None:
        """Take in usage records in log order: org, team, service, model, occurred_at (Int64 microseconds),
        prompt_hash, requests, cost_pico_usd, cache_hit. Without a hash, or answered for nothing, they do not count."""
        paid = ~pl.col("cache_hit") & (pl.col("cost_pico_usd") > 0) & (pl.col("prompt_hash").fill_null("") != "")
        columns = (*_BY, "prompt_hash", "occurred_at", "requests", "cost_pico_usd")
        for *names, prompt, at, requests, cost in usage.filter(paid).select(columns).iter_rows():
            target = PromptTarget(*names)
            day = self._days.setdefault(target, {}).setdefault(at // DAY_MICROS, [0, 0, 0, 0])
            day[0] += requests
            day[1] += cost
            if self._repeats(_hash(target, prompt), at):
                day[2] += requests << self._halvings
                day[3] += cost << self._halvings
            self._first[target] = min(at, self._first.get(target, at))
            minute_end = (at // MINUTE_MICROS + 1) * MINUTE_MICROS
            self._until[target.org] = max(minute_end, self._until.get(target.org, 0))

    def profiles(self) -> Iterator[PromptProfile]:
        """Every target with fingerprinted traffic in its window, ordered. Days out of the window are dropped."""
        for target in sorted(self._days):
            until = self._until[target.org]
            oldest = window_start(until) // DAY_MICROS
            days = {day: sums for day, sums in self._days[target].items() if day >= oldest}
            if not days:
                del self._days[target], self._first[target]
                continue
            self._days[target] = days
            requests, cost, repeats, repeat_cost = (sum(column) for column in zip(*days.values(), strict=True))
            since = max(self._first[target] // DAY_MICROS, oldest) * DAY_MICROS
            # A scaled-up sample may overshoot what it is a sample of.
            repeats, repeat_cost = min(repeats, requests), min(repeat_cost, cost)
            sampling = 1 << self._halvings
            yield PromptProfile(target, since, until, requests, cost, repeats, repeat_cost, sampling)

    def _repeats(self, prompt: int, at: int) -> bool:
        if prompt & ((1 << self._halvings) - 1):
            return False
        last = self._last.get(prompt)
        self._last[prompt] = at if last is None else max(last, at)
        self._newest = max(self._newest, at)
        if len(self._last) > self.capacity:
            self._make_room()
        return last is not None and abs(at - last) <= DAY_MICROS

    def _make_room(self) -> None:
        """Forget prompts older than a day; while that is not enough, follow only half of the prompts."""
        self._last = {p: at for p, at in self._last.items() if self._newest - at <= DAY_MICROS}
        while len(self._last) > self.capacity // 4 * 3:
            self._halvings += 1
            mask = (1 << self._halvings) - 1
            self._last = {p: at for p, at in self._last.items() if not p & mask}

    def snapshot(self) -> dict[str, Any]:
        rows = [
            [list(target), self._first[target], [[day, sums] for day, sums in sorted(days.items())]]
            for target, days in sorted(self._days.items())
        ]
        return {
            "halvings": self._halvings,
            "newest": self._newest,
            "prompts": pack(np.array(list(self._last.keys()), dtype=np.uint64)),
            "last": pack(np.array(list(self._last.values()), dtype=np.int64)),
            "targets": rows,
            "until": dict(sorted(self._until.items())),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._halvings, self._newest = state["halvings"], state["newest"]
        self._last = dict(zip(unpack(state["prompts"]).tolist(), unpack(state["last"]).tolist(), strict=True))
        self._days = {PromptTarget(*t): {day: list(sums) for day, sums in days} for t, _, days in state["targets"]}
        self._first = {PromptTarget(*t): first for t, first, _ in state["targets"]}
        self._until = dict(state["until"])


def _hash(target: PromptTarget, prompt: str) -> int:
    digest = hashlib.blake2b("\x1f".join((*target, prompt)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
