"""Truth against what was found: one `Check` a line. Pure; asking the database is the command's part."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from loadgen.pricing import BUCKETS
from loadgen.truth import TruthFile

STATUSES = ("priced", "partial", "unpriced")
Place = tuple[int, int, int, str]  # partition, offset, item, reason


@dataclass(frozen=True)
class Check:
    """One statement of the truth and what became of it."""

    what: str
    expected: Any
    found: Any
    ok: bool


@dataclass(frozen=True)
class Range:
    """One row of the ledger's ranges: offsets and the conservation counters."""

    incarnation: str
    partition: int
    first: int
    last: int
    events: int
    outcomes: Mapping[str, int]  # priced, partial, unpriced, duplicate, rejected


@dataclass
class Found:
    """What the database holds of a run; amounts in pico-dollars, models as `provider/model`."""

    rows: int = 0
    distinct: int = 0
    incarnations: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    cost_by_team_model_day: dict[tuple[str, str, str], int] = field(default_factory=dict)
    dead_letters: list[Place] = field(default_factory=list)
    ranges: list[Range] = field(default_factory=list)
    # Of the whole installation: (team, day) → pico-dollars and events, by the facts and by the roll-ups.
    facts: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    roll_ups: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)


def compare(truth: TruthFile, found: Found) -> list[Check]:
    """Every check, in the order people read them."""
    return [
        *_events(truth, found),
        *_money(truth, found),
        *_rejects(truth, found),
        *_ledger(truth, found),
        *_roll_ups(found),
    ]


def ledger_behind(truth: TruthFile, ranges: Iterable[Range]) -> int:
    """Produced offsets the ledger has not passed yet, over all partitions."""
    passed: dict[int, int] = {}
    for one in ranges:
        passed[one.partition] = max(passed.get(one.partition, -1), one.last)
    return sum(
        max(0, position["last"] - passed.get(int(partition), -1)) for partition, position in truth.positions.items()
    )


def _same(what: str, expected: Any, found: Any) -> Check:
    return Check(what, expected, found, expected == found)


def _table(what: str, expected: Mapping[Any, int], found: Mapping[Any, int]) -> Check:
    """Two tables of amounts, zero as good as none; shown is their size, or the first amount that differs."""
    keys = sorted(key for key in {*expected, *found} if expected.get(key, 0) != found.get(key, 0))
    if not keys:
        return Check(what, f"{len(expected)} amounts", "all equal", True)
    first = keys[0]
    name = "/".join(first) if isinstance(first, tuple) else first
    return Check(what, f"{name}: {expected.get(first, 0)}", f"{found.get(first, 0)} ({len(keys)} differ)", False)


def _events(truth: TruthFile, found: Found) -> list[Check]:
    return [
        _same("distinct events", truth.distinct_events, found.distinct),
        _same("rows in charges (no event twice)", truth.distinct_events, found.rows),
        Check("incarnations of the topic", "at most 1", found.incarnations, found.incarnations <= 1),
        *(
            _same(f"events {status}", truth.statuses.get(status, 0), found.statuses.get(status, 0))
            for status in STATUSES
        ),
        *(
            _same(f"{bucket}_tokens", truth.tokens[f"{bucket}_tokens"], found.tokens.get(f"{bucket}_tokens", 0))
            for bucket in BUCKETS
        ),
    ]


def _money(truth: TruthFile, found: Found) -> list[Check]:
    by = found.cost_by_team_model_day
    by_day = truth.cost_pico_usd_by_team_model_day
    expected = {
        (team, model, day): cost
        for team, models in by_day.items()
        for model, days in models.items()
        for day, cost in days.items()
    }
    return [
        _same("cost, pico-dollars", truth.cost_pico_usd, sum(by.values())),
        _table("cost by team", truth.cost_pico_usd_by_team, _sum(by, 0)),
        _table("cost by model", truth.cost_pico_usd_by_model, _sum(by, 1)),
        _table("cost by day", truth.cost_pico_usd_by_day, _sum(by, 2)),
        _table("cost by team, model and day", expected, by),
    ]


def _sum(by: Mapping[tuple[str, str, str], int], place: int) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, amount in by.items():
        sums[key[place]] = sums.get(key[place], 0) + amount
    return sums


def _rejects(truth: TruthFile, found: Found) -> list[Check]:
    """Each expected dead letter at its place; further ones only where the producer may have sent twice."""
    expected: set[Place] = {(r["partition"], r["offset"], r["item"], r["reason"]) for r in truth.rejected}
    places = set(found.dead_letters)
    checks = []
    for reason in sorted({*truth.rejected_by_reason, *(place[3] for place in places)}):
        wanted = truth.rejected_by_reason.get(reason, 0)
        there = sum(place[3] == reason for place in places)
        ok = there == wanted or (bool(truth.unaccounted_records) and there > wanted)
        checks.append(Check(f"dead letters: {reason}", wanted, there, ok))
    missing = expected - places
    checks.append(Check("dead letters at the offsets sent", len(expected), len(expected) - len(missing), not missing))
    return checks


def _ledger(truth: TruthFile, found: Found) -> list[Check]:
    ours, tiled = _overlapping(truth, found.ranges)
    exact = tiled and not truth.unaccounted_records
    events = sum(one.events for one in ours)
    rejected = sum(truth.rejected_by_reason.values())
    wanted = {"events in": truth.sent_events, "duplicate": truth.duplicates, "rejected": rejected}
    there = {name: sum(one.outcomes.get(name, 0) for one in ours) for name in ("duplicate", "rejected")}
    there["events in"] = events
    checks = []
    for name, count in wanted.items():
        ok = there[name] == count if exact else there[name] >= count
        checks.append(Check(f"ledger: {name}", count if exact else f"at least {count}", there[name], ok))
    out = sum(sum(one.outcomes.values()) for one in found.ranges)
    into = sum(one.events for one in found.ranges)
    checks.append(Check("conservation, whole topic", into, out, into == out))
    checks.append(Check("ranges overlap or leave gaps", 0, _broken(found.ranges), not _broken(found.ranges)))
    return checks


def _overlapping(truth: TruthFile, ranges: Iterable[Range]) -> tuple[list[Range], bool]:
    """Ranges that hold records of the run, and whether they hold nothing else."""
    ours = []
    edges: set[tuple[int, str, int]] = set()
    for one in ranges:
        position = truth.positions.get(str(one.partition))
        if position and one.first <= position["last"] and one.last >= position["first"]:
            ours.append(one)
            edges.update(((one.partition, "first", one.first), (one.partition, "last", one.last)))
    wanted = {(int(p), edge, at[edge]) for p, at in truth.positions.items() for edge in ("first", "last")}
    outside = [one for one in ours if one.first < truth.positions[str(one.partition)]["first"]]
    outside += [one for one in ours if one.last > truth.positions[str(one.partition)]["last"]]
    return ours, wanted <= edges and not outside


def _broken(ranges: Iterable[Range]) -> int:
    """Neighbours whose offsets do not follow one another."""
    ordered = sorted(ranges, key=lambda one: (one.incarnation, one.partition, one.first))
    same = ((a, b) for a, b in pairwise(ordered) if (a.incarnation, a.partition) == (b.incarnation, b.partition))
    return sum(b.first != a.last + 1 for a, b in same)


def _roll_ups(found: Found) -> list[Check]:
    facts = {key: cost for key, (cost, _) in found.facts.items()}
    rolled = {key: cost for key, (cost, _) in found.roll_ups.items()}
    events = sum(count for _, count in found.facts.values())
    return [
        _table("roll-ups = charges, cost by team and day", facts, rolled),
        _same(
            "roll-ups = charges, events",
            events,
            sum(count for _, count in found.roll_ups.values()),
        ),
    ]
