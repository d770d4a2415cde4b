"""`spendstream bench`: attribution beside an idiomatic Faust agent doing the same work, in the same run."""

import signal
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spendstream.cli.failures import CHECK_FAILED, UNAVAILABLE, USAGE, CommandError, errors
from spendstream.cli.output import console, print_json, print_table

if TYPE_CHECKING:
    from loadgen.bench.run import Outcome

PROGRESS_EVERY_S = 2.0


def bench(
    events: Annotated[int, typer.Option(min=1_000, help="Usage events on the topic (about).")] = 400_000,
    batch: Annotated[
        int, typer.Option(min=0, max=1_000, help="Events a producer packs into one record; 0: single.")
    ] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Drains of each side, in turn.")] = 3,
    broker: Annotated[
        Literal["kafka", "tansu"], typer.Option(help="kafka: Apache Kafka; needs Java and Maven.")
    ] = "kafka",
    peers: Annotated[str, typer.Option(help="Further sides, comma-separated: faust-table.")] = "",
    at_least: Annotated[float, typer.Option(help="Times the idiomatic agent, or the exit code is 1.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Drain one preloaded topic with attribution and with its rivals, in a stack of its own; compare and check totals.

    Exit code 1 when a side's totals differ from the truth, or attribution is not fast enough.

    Example: spendstream bench --events 200000 --rounds 1
    """
    from loadgen.bench.contenders import IDIOMATIC, SPENDSTREAM, why_not  # noqa: PLC0415
    from loadgen.bench.processes import BenchError  # noqa: PLC0415
    from loadgen.bench.run import Plan  # noqa: PLC0415
    from loadgen.bench.run import bench as run_bench  # noqa: PLC0415

    sides = [SPENDSTREAM, IDIOMATIC]
    for name in filter(None, peers.split(",")):
        if reason := why_not(name):
            errors.print(f"without {name}: {reason}", markup=False)
        elif name not in sides:
            sides.append(name)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the stack is stopped then, too
    plan = Plan(events, batch, rounds, broker, at_least, tuple(sides))
    try:
        outcome = run_bench(plan, _Progress().say)
    except BenchError as error:
        raise CommandError(str(error), UNAVAILABLE) from error
    except KeyError as error:
        raise CommandError(f"no side {error}", USAGE) from error
    _print(outcome, as_json)
    if outcome.verdict.failures:
        raise CommandError("; ".join(outcome.verdict.failures), CHECK_FAILED)


class _Progress:
    """Every step, but of one step only a line every few seconds."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._step = ""

    def say(self, line: str) -> None:
        step = " ".join(word for word in line.split() if not any(letter.isdigit() for letter in word))
        now = time.monotonic()
        if step != self._step or now - self._last >= PROGRESS_EVERY_S:
            errors.print(f"{now - self._started:6.1f} s  {line}", markup=False)
            self._step, self._last = step, now


def _print(outcome: "Outcome", as_json: bool) -> None:
    from loadgen.bench.result import as_json as everything  # noqa: PLC0415
    from loadgen.bench.result import as_table  # noqa: PLC0415

    if as_json:
        print_json(everything(outcome.verdict, outcome.drains, outcome.ran))
        return
    heads, rows = as_table(outcome.verdict.sides)
    print_table("", heads, rows)
    ran = outcome.ran
    console.print(
        f"\n{ran['cores']} cores, {ran['memory_gib']} GiB, {ran['broker']}, {ran['partitions']} partitions,"
        f" {ran['records']} records of {ran['batch'] or 'single'} events, {ran['rounds']} rounds"
        f"\n{', '.join(f'{name} {number}' for name, number in ran['versions'].items())}",  # type: ignore[attr-defined]
        markup=False,
    )
