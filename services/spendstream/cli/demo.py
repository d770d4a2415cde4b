"""`spendstream demo`: a real trace through every service in under two minutes, with the reconciliation at the end."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import CHECK_FAILED, CommandError, errors
from spendstream.cli.output import console
from spendstream.cli.run import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadgen.line import Target
    from loadgen.truth import TruthFile

TRACE = "AzureLLMInferenceTrace_code.csv"
SPEED = 116.0


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
) -> None:
    """Replay an hour of real LLM traffic through the whole system and show what it says.

    Starts the embedded stack on free ports, or uses KAFKA_BOOTSTRAP and CLICKHOUSE_URL when both are set.

    Example: spendstream demo --keep
    """
    started = time.monotonic()

    def say(what: str) -> None:
        errors.print(f"[{time.monotonic() - started:5.1f} s] {what}", markup=False)

    with _system(say):
        ok = _play(say)
        console.print(f"\nThe whole demo took {time.monotonic() - started:.0f} s.")
        if keep:
            _hold()
    if not ok:
        raise CommandError("the totals do not reconcile, or an incident was missed (see above)", CHECK_FAILED)


@contextmanager
def _system(say: Callable[[str], None]) -> "Iterator[None]":
    """Broker, ClickHouse and the four services, all stopped at the end."""
    from spendstream.cli.up import prepare, service  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415
    from spendstream.runtime.stack.embedded import EmbeddedStack  # noqa: PLC0415
    from spendstream.runtime.stack.ports import free_port  # noqa: PLC0415
    from spendstream.runtime.stack.processes import Supervisor  # noqa: PLC0415

    base = Settings.load().home.resolve()
    base.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="demo-", dir=base))  # ours alone, so it may go at the end
    external = {name: os.environ[name] for name in ("KAFKA_BOOTSTRAP", "CLICKHOUSE_URL") if name in os.environ}
    stack = EmbeddedStack(home, "tansu", free_port(), free_port())
    if len(external) < 2:
        os.environ.update(KAFKA_BOOTSTRAP=stack.bootstrap, CLICKHOUSE_URL=stack.clickhouse_url)
    os.environ["SPENDSTREAM_HOME"] = str(home)
    environment = {name: os.environ[name] for name in ("KAFKA_BOOTSTRAP", "CLICKHOUSE_URL")}
    members = [service(name, home, environment) for name in SERVICES]
    stages = [stack.members] if len(external) < 2 else []
    supervisor = Supervisor([*stages, prepare, members], lambda name, what: say(f"{name:<16} {what}"), restart=SERVICES)
    try:
        supervisor.start()
        yield
    finally:
        supervisor.stop()
        shutil.rmtree(home, ignore_errors=True)


def _play(say: Callable[[str], None]) -> bool:
    from spendstream.cli import demo_report as report  # noqa: PLC0415
    from spendstream.cli.control import apply  # noqa: PLC0415
    from spendstream.runtime.clickhouse.client import connect  # noqa: PLC0415
    from spendstream.runtime.resources import shipped  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    examples, settings = shipped("examples"), Settings.load()
    client = connect(settings)
    apply([examples / "prices.yaml"])
    say("three weeks of history, as fast as it goes")
    history = _run(lambda target: _history(examples, target))
    report.wait_for(history, client)
    say(f"{history.sent_events} events of history are in; declaring budgets")
    apply([examples / "demo" / "budgets.yaml"])
    say("one hour of the Azure code trace, 116 times as fast, with an overspend, a spike, duplicates and poison")
    replay_started = time.time()
    trace = _run(lambda target: _trace(examples, target))
    say("waiting for the ledger, then measuring event → alert")
    checks = [*report.check(history, client), *report.check(trace, client)]
    alert_latency = report.measure_alerts(settings)
    report.wait_for_advice(client)
    found = report.planted_and_found(client)
    report.print_all(client, trace, replay_started, alert_latency)
    agrees = report.print_reconciliation(client, checks)
    console.print(f"{sum(found.values())} of {len(found)} planted incidents were found: {', '.join(found)}.")
    return agrees and all(found.values())


async def _history(examples: Path, target: "Target") -> "TruthFile":
    from loadgen.run import run_scenario  # noqa: PLC0415
    from loadgen.scenarios import load_scenario  # noqa: PLC0415

    return await run_scenario(load_scenario(examples / "demo" / "history.yaml"), target=target)


async def _trace(examples: Path, target: "Target") -> "TruthFile":
    import yaml  # noqa: PLC0415

    from loadgen.disorder import Faults  # noqa: PLC0415
    from loadgen.pricing import Book  # noqa: PLC0415
    from loadgen.run import Replay, replay  # noqa: PLC0415
    from loadgen.scenarios import IncidentSpec, load_world  # noqa: PLC0415
    from loadgen.traces import READERS, Row, open_trace  # noqa: PLC0415
    from loadgen.traces.assign import assign  # noqa: PLC0415
    from loadgen.world import Assigner  # noqa: PLC0415

    world = load_world(examples / "demo" / "world.yaml")
    rows = READERS["azure-llm"](open_trace(examples / "traces" / TRACE))
    records = assign(Assigner(world, 7), [row.record for row in rows if isinstance(row, Row)])
    specs = yaml.safe_load((examples / "demo" / "incidents.yaml").read_text())
    plan = Replay(
        records=records,
        book=Book.load(examples / "prices.yaml"),
        seed=7,
        speed=SPEED,
        faults=Faults(duplicates=0.02, conflicts=0.001, poison=0.003),
        incidents=tuple(IncidentSpec(**spec) for spec in specs),
        world=world,
    )
    return await replay(plan, target)


def _run(work: "Callable[[Target], Awaitable[TruthFile]]") -> "TruthFile":
    from spendstream.cli.load import with_progress  # noqa: PLC0415

    stopped = asyncio.Event()
    truth = asyncio.run(with_progress(work, stopped))
    if stopped.is_set():  # a demo that was interrupted has nothing to show
        raise KeyboardInterrupt
    return truth


def _hold() -> Any:
    kafka, clickhouse = os.environ["KAFKA_BOOTSTRAP"], os.environ["CLICKHOUSE_URL"]
    console.print(f"\nKafka {kafka}, ClickHouse {clickhouse}; Ctrl-C stops all.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
