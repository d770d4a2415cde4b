"""`spendstream load`: real traces and made-up scenarios onto the `usage` topic, with the exact truth beside them."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import UNAVAILABLE, USAGE, CommandError, errors
from spendstream.cli.output import print_json, print_table

if TYPE_CHECKING:
    from loadgen.line import Target
    from loadgen.truth import TruthFile

DEFAULT_PRICES = Path("examples/prices.yaml")
BAD_ROWS_SHOWN = 20

load_app = typer.Typer(
    help="Load generator: replay traces or run scenarios; writes a truth file.", no_args_is_help=True
)

TruthOption = Annotated[Path, typer.Option("--truth", help="Where to write the truth file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the truth's totals as JSON.")]


@load_app.command("run")
def run(
    scenario: Annotated[Path, typer.Argument(help="Scenario file, see examples/scenarios/.")],
    truth: TruthOption = Path("truth.json"),
    seed: Annotated[int | None, typer.Option("--seed", help="Instead of the scenario's own.")] = None,
    speed: Annotated[float | None, typer.Option("--speed", min=0.001, help="Of the live part, × real time.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario: history as fast as possible, then its live part, which ends now.

    Apply the scenario's price file first, or everything is unpriced.

    Example: spendstream load run examples/scenarios/everything-wrong.yaml --truth truth.json
    """
    from loadgen.run import run_scenario  # noqa: PLC0415
    from loadgen.scenarios import ScenarioError, load_scenario  # noqa: PLC0415

    try:
        plan = load_scenario(scenario)
    except ScenarioError as error:
        raise CommandError(str(error), USAGE) from error
    changes = {name: value for name, value in (("seed", seed), ("speed", speed)) if value is not None}
    plan = plan.model_copy(update=changes)
    _produce(lambda target: run_scenario(plan, target=target), truth, as_json)


@load_app.command("replay")
def replay(
    file: Annotated[Path, typer.Argument(help="Trace or usage table.")],
    truth: TruthOption = Path("truth.json"),
    file_format: Annotated[
        str, typer.Option("--format", help="csv | azure-llm | burstgpt | mooncake | servegen")
    ] = "csv",
    speed: Annotated[str, typer.Option("--speed", help="Factor of real time, or max.")] = "1",
    mapping: Annotated[Path | None, typer.Option("--map", help="World file that owns the requests.")] = None,
    prices: Annotated[
        Path, typer.Option("--prices", help="Price documents the truth is computed with.")
    ] = DEFAULT_PRICES,
    shift_to: Annotated[str, typer.Option("--shift-to", help="now: the last event occurs when sent | keep")] = "now",
    duplicates: Annotated[float, typer.Option("--duplicates", min=0, max=1, help="Share sent again.")] = 0.0,
    poison: Annotated[bool, typer.Option("--poison", help="Add broken records of every form (0.5 %).")] = False,
    batch: Annotated[int, typer.Option("--batch", min=0, max=1000, help="Pack up to so many events; 0: single.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same owners and faults.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Replay recorded usage at its own rhythm, N times as fast, or as fast as possible.

    Example: spendstream load replay examples/traces/AzureLLMInferenceTrace_code.csv --format azure-llm --speed 60
    """
    from loadgen import run as runs  # noqa: PLC0415
    from loadgen.disorder import Faults  # noqa: PLC0415
    from loadgen.price_file import PriceFileError  # noqa: PLC0415
    from loadgen.pricing import Book  # noqa: PLC0415

    if shift_to not in ("now", "keep"):
        raise CommandError(f"--shift-to: {shift_to!r} is neither now nor keep", USAGE)
    try:
        book = Book.load(prices)
    except PriceFileError as error:
        raise CommandError(str(error), USAGE) from error
    plan = runs.Replay(
        records=_recorded(file, file_format, mapping, seed),
        book=book,
        seed=seed,
        speed=_factor(speed),
        shift_to_now=shift_to == "now",
        batch=batch,
        faults=Faults(duplicates=duplicates, poison=0.005 if poison else 0.0),
    )
    _produce(lambda target: runs.replay(plan, target), truth, as_json)


def _factor(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise CommandError(f"--speed: {speed!r} is neither a positive number nor max", USAGE)
    return factor


def _recorded(file: Path, file_format: str, mapping: Path | None, seed: int) -> list[dict[str, Any]]:
    """Good rows of a file, owned by the mapping where the format names no owner; bad rows are listed on stderr."""
    from loadgen.scenarios import DEFAULT_WORLD, ScenarioError, load_world  # noqa: PLC0415
    from loadgen.traces import READERS, BadRow, UnreadableTrace, open_trace  # noqa: PLC0415
    from loadgen.traces.assign import assign  # noqa: PLC0415
    from loadgen.world import Assigner  # noqa: PLC0415

    if file_format not in READERS:
        raise CommandError(f"--format: {file_format!r} is none of {', '.join(READERS)}", USAGE)
    try:
        rows = list(READERS[file_format](open_trace(file)))
        world = load_world(mapping or DEFAULT_WORLD)
    except (UnreadableTrace, ScenarioError) as error:
        raise CommandError(str(error), USAGE) from error
    bad = [row for row in rows if isinstance(row, BadRow)]
    for row in bad[:BAD_ROWS_SHOWN]:
        errors.print(f"{file}: {row}", markup=False)
    if bad:
        errors.print(f"{file}: {len(bad)} bad rows left out, {len(rows) - len(bad)} good ones sent", markup=False)
    records = [row.record for row in rows if not isinstance(row, BadRow)]
    if not records:
        raise CommandError(f"{file}: no good row", USAGE)
    # A usage table says who called; a bare trace, or an explicit --map, gets owners from the world.
    return assign(Assigner(world, seed), records) if mapping or file_format != "csv" else records


def _produce(work: "Callable[[Target], Awaitable[TruthFile]]", truth: Path, as_json: bool) -> None:
    """Run it with a progress bar and write the truth."""
    from loadgen.price_file import PriceFileError  # noqa: PLC0415
    from loadgen.produce import ProduceFailed  # noqa: PLC0415

    try:
        result = asyncio.run(with_progress(work))
    except PriceFileError as error:
        raise CommandError(str(error), USAGE) from error
    except ProduceFailed as error:
        hint = "; start one with `spendstream up` or set KAFKA_BOOTSTRAP" if "no Kafka broker" in str(error) else ""
        raise CommandError(f"{error}{hint}; no truth file was written", UNAVAILABLE) from error
    result.save(truth)
    totals = {
        "run_id": result.run_id,
        "sent_events": result.sent_events,
        "distinct_events": result.distinct_events,
        "duplicates": result.duplicates,
        "rejected": sum(result.rejected_by_reason.values()),
        "cost_usd": _usd(result.cost_pico_usd),
        **result.schedule,
        "truth": str(truth),
    }
    if as_json:
        print_json(totals)
    else:
        print_table("", ["what", "value"], list(totals.items()))


async def with_progress(
    work: "Callable[[Target], Awaitable[TruthFile]]", stop: asyncio.Event | None = None
) -> "TruthFile":
    """Do it under a progress bar; the first Ctrl-C sets `stop` and ends it early."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from loadgen.line import Progress as Step  # noqa: PLC0415
    from loadgen.line import Target  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    gc.freeze()
    gc.set_threshold(100_000, 20, 100)  # records are trees without cycles; looking for some costs a quarter of the time
    stop = stop or asyncio.Event()
    _stop_early(stop)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[events]}"), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as bar:
        task = bar.add_task("connecting", total=None, events="")

        def show(step: Step) -> None:
            events = f"{step.acknowledged_events:,} events, {max(0.0, step.behind_s):.2f} s behind"
            bar.update(task, description=step.phase, total=max(step.expected_events, step.sent_events),
                       completed=step.acknowledged_events, events=events)  # fmt: skip

        client = Settings.load().kafka()
        return await work(Target(client.pop("bootstrap_servers"), client=client, progress=show, stop=stop))


def _stop_early(stop: asyncio.Event) -> None:
    """The first Ctrl-C ends the run with an exact truth, the second gives up."""
    loop = asyncio.get_running_loop()

    def asked() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stop.set()

    loop.add_signal_handler(signal.SIGINT, asked)


def _usd(pico: int) -> str:
    return f"{pico // 10**12}.{pico % 10**12:012d}"
