"""What the drains of a bench say: medians, spread, ratios, and whether the bench is valid and passed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from loadgen.bench.contenders import IDIOMATIC, SPENDSTREAM
from loadgen.bench.drain import Drain, Totals

MILLION = 1_000_000


@dataclass(frozen=True)
class Side:
    """The drains of one side. `spread`: (fastest − slowest) / median; `times_idiomatic`: None without that side."""

    name: str
    events: int
    seconds: float
    events_per_s: float
    spread: float
    cpu_s_per_million: float
    stack_cpu_s_per_million: float
    times_idiomatic: float | None


@dataclass(frozen=True)
class Verdict:
    """`failures` is empty when the bench is valid and passed."""

    sides: list[Side]
    failures: list[str]


def judge(drains: Sequence[Drain], expected: Totals, at_least: float) -> Verdict:
    """Summaries in the order of `drains`, and what is wrong: other totals than expected, or too small a ratio."""
    by_side: dict[str, list[Drain]] = {}
    for one in drains:
        by_side.setdefault(one.side, []).append(one)
    base = median(d.events_per_s for d in by_side[IDIOMATIC]) if IDIOMATIC in by_side else None
    sides = [_side(name, its, base) for name, its in by_side.items()]
    failures = [text for one in drains for text in differences(one, expected)]
    ours = next((side for side in sides if side.name == SPENDSTREAM), None)
    if ours is not None and ours.times_idiomatic is not None and ours.times_idiomatic < at_least:
        failures.append(f"{SPENDSTREAM} is {ours.times_idiomatic:.1f} × {IDIOMATIC}, less than {at_least:g} ×")
    return Verdict(sides, failures)


def differences(one: Drain, expected: Totals) -> list[str]:
    """Where the results of a drain are not what they must be."""
    found, wanted = vars(one.totals), vars(expected)
    return [
        f"{one.side}, round {one.round}: {name} is {found[name]}, must be {wanted[name]}"
        for name in wanted
        if found[name] != wanted[name]
    ]


def _side(name: str, drains: Sequence[Drain], base: float | None) -> Side:
    rates = [d.events_per_s for d in drains]
    middle = median(rates)
    return Side(
        name=name,
        events=drains[0].events,
        seconds=round(median(d.seconds for d in drains), 3),
        events_per_s=round(middle, 1),
        spread=round((max(rates) - min(rates)) / middle, 3),
        cpu_s_per_million=round(median(d.cpu_s / d.events for d in drains) * MILLION, 2),
        stack_cpu_s_per_million=round(median(d.stack_cpu_s / d.events for d in drains) * MILLION, 2),
        times_idiomatic=None if base is None else round(middle / base, 2),
    )


def as_table(sides: Sequence[Side]) -> tuple[list[str], list[list[object]]]:
    """Heads and rows for people."""
    heads = [
        "side",
        "events",
        "seconds",
        "events/s",
        "spread",
        "CPU s/M events",
        "broker+ClickHouse CPU s/M",
        "× faust",
    ]
    rows: list[list[object]] = [
        [
            side.name, side.events, f"{side.seconds:.2f}", round(side.events_per_s), f"{side.spread:.0%}",
            f"{side.cpu_s_per_million:.1f}", f"{side.stack_cpu_s_per_million:.1f}",
            "" if side.times_idiomatic is None else f"{side.times_idiomatic:.1f}",
        ]
        for side in sides
    ]  # fmt: skip
    return heads, rows


def as_json(verdict: Verdict, drains: Sequence[Drain], ran: Mapping[str, object]) -> dict[str, object]:
    """Everything, for programs."""
    return {
        "ran": dict(ran),
        "sides": [vars(side) for side in verdict.sides],
        "drains": [{**vars(one), "totals": vars(one.totals)} for one in drains],
        "failures": verdict.failures,
    }
