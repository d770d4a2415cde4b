"""`spendstream up` and `spendstream stack up|status`: everything on one machine, nothing to install."""

import asyncio
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spendstream.cli.failures import UNAVAILABLE, USAGE, CommandError, errors
from spendstream.cli.output import console, print_json, print_table
from spendstream.cli.run import SERVICES

if TYPE_CHECKING:
    from spendstream.runtime.stack.embedded import EmbeddedStack
    from spendstream.runtime.stack.processes import Service

stack_app = typer.Typer(help="The embedded broker and ClickHouse endpoint alone.", no_args_is_help=True)

BrokerOption = Annotated[
    Literal["tansu", "kafka"],
    typer.Option(help="tansu: in memory, starts at once. kafka: Apache Kafka itself, durable; needs Java and Maven."),
]
KafkaPort = Annotated[int, typer.Option("--kafka-port", help="Port of the broker.")]
ClickHousePort = Annotated[int, typer.Option("--clickhouse-port", help="Port of the ClickHouse endpoint.")]
ReadyFile = Annotated[Path | None, typer.Option(help="Written when every part is ready, removed at the end.")]


def up(
    services: Annotated[str, typer.Option(help="Comma-separated; default: all.")] = ",".join(SERVICES),
    broker: BrokerOption = "tansu",
    kafka_port: KafkaPort = 19092,
    clickhouse_port: ClickHousePort = 18123,
    ready_file: ReadyFile = None,
    logs: Annotated[bool, typer.Option("--logs", help="Show the services' logs.")] = False,
) -> None:
    """Start the embedded stack and the services in the foreground; Ctrl-C stops all.

    Example: spendstream up --broker kafka --services attribution,budgets
    """
    chosen = [name for name in services.split(",") if name]
    if unknown := [name for name in chosen if name not in SERVICES]:
        raise CommandError(f"no service {', '.join(unknown)}; there are {', '.join(SERVICES)}", USAGE)
    _run(broker, kafka_port, clickhouse_port, chosen, ready_file, logs)


@stack_app.command("up")
def stack_up(
    broker: BrokerOption = "tansu",
    kafka_port: KafkaPort = 19092,
    clickhouse_port: ClickHousePort = 18123,
    ready_file: ReadyFile = None,
) -> None:
    """Start only the broker and the ClickHouse endpoint, with topics and tables; Ctrl-C stops both.

    Example: spendstream stack up --broker kafka
    """
    _run(broker, kafka_port, clickhouse_port, [], ready_file, False)


@stack_app.command("status")
def stack_status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say whether an embedded stack runs in SPENDSTREAM_HOME, and where.

    Example: spendstream stack status
    """
    from dataclasses import asdict  # noqa: PLC0415

    from spendstream.runtime.settings import Settings  # noqa: PLC0415
    from spendstream.runtime.stack.embedded import read_state  # noqa: PLC0415

    state = read_state(Settings.given().home)
    if state is None:
        raise CommandError("no embedded stack runs here; start one with `spendstream up`", UNAVAILABLE)
    if as_json:
        print_json(asdict(state))
    else:
        pids = ", ".join(f"{name} {pid}" for name, pid in state.pids.items())
        since = datetime.fromtimestamp(state.started_at, UTC)
        rows = [
            ("Kafka", f"{state.kafka_bootstrap} ({state.broker})"), ("ClickHouse", state.clickhouse_url),
            ("folder", state.home), ("process ids", pids), ("since (UTC)", f"{since:%Y-%m-%d %H:%M:%S}"),
        ]  # fmt: skip
        print_table("", ["what", "where"], rows)


def _run(
    broker: Literal["tansu", "kafka"],
    kafka_port: int,
    clickhouse_port: int,
    services: Sequence[str],
    ready_file: Path | None,
    logs: bool,
) -> None:
    from spendstream.runtime.settings import Settings  # noqa: PLC0415
    from spendstream.runtime.stack.embedded import EmbeddedStack  # noqa: PLC0415
    from spendstream.runtime.stack.processes import Supervisor  # noqa: PLC0415

    started = time.monotonic()
    stack = EmbeddedStack(Settings.given().home, broker, kafka_port, clickhouse_port)
    environment = {"KAFKA_BOOTSTRAP": stack.bootstrap, "CLICKHOUSE_URL": stack.clickhouse_url}
    os.environ.update(environment)

    def progress(name: str, what: str) -> None:
        errors.print(f"{time.monotonic() - started:5.1f} s  {name:<16} {what}", markup=False)

    members = [service(name, stack.home, environment) for name in services]
    supervisor = Supervisor(
        [stack.members, prepare, members, lambda: _announce(stack, members)],
        progress,
        restart=services,
        echo_logs=(lambda line: sys.stderr.write(line + "\n")) if logs else None,
    )
    try:
        stack.claim()
        code = supervisor.run(ready_file)
    except RuntimeError as error:
        raise CommandError(str(error), UNAVAILABLE) from error
    finally:
        stack.release()
    if code:
        raise typer.Exit(code)


def prepare() -> None:
    """Topics and tables; the stack answers already."""
    from spendstream.runtime.clickhouse.migrate import migrate  # noqa: PLC0415
    from spendstream.runtime.kafka.admin import apply_topics  # noqa: PLC0415
    from spendstream.runtime.resources import shipped  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    asyncio.run(apply_topics(settings))
    migrate(settings, shipped("clickhouse"))


def service(name: str, home: Path, environment: Mapping[str, str]) -> "Service":
    """One service as a child process, ready when its /readyz says so."""
    from spendstream.runtime.stack.ports import free_port  # noqa: PLC0415
    from spendstream.runtime.stack.processes import Service  # noqa: PLC0415

    port = free_port()
    command = [sys.executable, "-m", "spendstream", "run", name]
    variables = {**environment, "SPENDSTREAM_HOME": str(home), "SPENDSTREAM_HTTP_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    return Service(name, command, home / "logs" / f"{name}.log", lambda: _is_ready(url), variables, url)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _announce(stack: "EmbeddedStack", services: Sequence["Service"]) -> None:
    stack.write_state()
    where = [("Kafka", stack.bootstrap), ("ClickHouse", stack.clickhouse_url)]
    where += [(service.name, f"{service.url}/metrics") for service in services]
    print_table("", ["ready", "where"], where)
    if stack.broker.name == "tansu":
        console.print(
            "\nThis broker keeps everything in memory: prices, budgets and events not yet in ClickHouse are gone after"
            " Ctrl-C. `--broker kafka` keeps them."
        )
    console.print(
        '\nTry: spendstream query "select team, sum(cost_usd) from v_cost group by team"   (Ctrl-C stops all)'
    )
