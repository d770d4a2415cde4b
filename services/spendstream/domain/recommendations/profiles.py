"""Running profiles of the last fourteen days of event time: what recommenders look at.

Sums per UTC day commute, so profiles depend neither on batches nor on order. A day leaves when the organisation's event
time is fourteen days past it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

from spendstream.domain.tokens import BUCKETS

DAYS: Final = 14
DAY_MICROS: Final = 86_400_000_000
MINUTE_MICROS: Final = 60_000_000
_SUMS: Final = ("requests", *(f"{bucket}_tokens" for bucket in BUCKETS), "cost_pico_usd")
_BY: Final = ("org", "team", "service", "feature", "provider", "model")


class Target(NamedTuple):
    """What a profile is about."""

    org: str
    team: str
    service: str
    feature: str
    provider: str
    model: str


@dataclass(frozen=True)
class Profile:
    """Traffic of one target in [`since`, `until`), microseconds; money in pico-dollars."""

    target: Target
    since: int
    until: int
    requests: int
    tokens: Mapping[str, int]  # by bucket, disjoint
    cost: int

    def input_tokens(self) -> int:
        return sum(count for bucket, count in self.tokens.items() if bucket.startswith("input_"))

    def output_tokens(self) -> int:
        return sum(count for bucket, count in self.tokens.items() if bucket.startswith("output_"))


def monthly(amount: int, since: int, until: int) -> int:
    """`amount` of [since, until), microseconds and at least a day, as an amount of 30 days."""
    return amount * 30 * DAY_MICROS // max(until - since, DAY_MICROS)


class Profiles:
    """State: sums per target and day; newest event time per organisation."""

    def __init__(self) -> None:
        self._days: dict[Target, dict[int, list[int]]] = {}
        self._first: dict[Target, int] = {}
        self._until: dict[str, int] = {}

    def update(self, deltas: pl.DataFrame) -> None:
        """Take in cost deltas (exactly-once differences of `CostRollup` rows); only `owner` rows count."""
        owners = deltas.filter(pl.col("grain") == "owner")
        if owners.is_empty():
            return
        days = owners.group_by(*_BY, (pl.col("minute") // DAY_MICROS).alias("day")).agg(
            pl.col("minute").min(), pl.col(_SUMS).sum()
        )
        for row in days.iter_rows():
            target, (day, first), sums = Target(*row[: len(_BY)]), row[len(_BY) : len(_BY) + 2], row[len(_BY) + 2 :]
            known = self._days.setdefault(target, {}).setdefault(day, [0] * len(_SUMS))
            known[:] = [old + new for old, new in zip(known, sums, strict=True)]
            self._first[target] = min(first, self._first.get(target, first))
        for org, newest in owners.group_by("org").agg(pl.col("minute").max()).iter_rows():
            self._until[org] = max(self._until.get(org, 0), newest + MINUTE_MICROS)

    def profiles(self) -> Iterator[Profile]:
        """Every profile with traffic in its window, ordered by target. Days out of the window are dropped."""
        for target in sorted(self._days):
            until = self._until[target.org]
            oldest = window_start(until) // DAY_MICROS
            days = {day: sums for day, sums in self._days[target].items() if day >= oldest}
            if not days:
                del self._days[target], self._first[target]
                continue
            self._days[target] = days
            requests, *tokens, cost = (sum(column) for column in zip(*days.values(), strict=True))
            since = max(self._first[target] // DAY_MICROS, oldest) * DAY_MICROS
            yield Profile(target, since, until, requests, dict(zip(BUCKETS, tokens, strict=True)), cost)

    def snapshot(self) -> dict[str, Any]:
        rows = [
            [list(target), self._first[target], [[day, sums] for day, sums in sorted(days.items())]]
            for target, days in sorted(self._days.items())
        ]
        return {"targets": rows, "until": dict(sorted(self._until.items()))}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._days = {Target(*t): {day: list(sums) for day, sums in days} for t, _, days in state["targets"]}
        self._first = {Target(*t): first for t, first, _ in state["targets"]}
        self._until = dict(state["until"])


def window_start(until: int) -> int:
    """Start of the first of the DAYS UTC days that end with the one of `until` (exclusive), microseconds."""
    return ((until - 1) // DAY_MICROS - DAYS + 1) * DAY_MICROS
