"""`spendstream topics apply` and `spendstream migrate`."""

import asyncio
from typing import Annotated

import typer

from spendstream.cli.failures import CommandError
from spendstream.cli.output import print_json, print_table

topics_app = typer.Typer(help="Kafka topics, as declared in schemas/topics.yaml.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@topics_app.command("apply")
def apply(
    partitions: Annotated[int | None, typer.Option(help="Partitions of usage, if not as declared.")] = None,
    replication_factor: Annotated[int, typer.Option(help="Copies of each partition.")] = 1,
    as_json: Json = False,
) -> None:
    """Create missing topics and report what differs.

    Example: spendstream topics apply --partitions 12 --replication-factor 3
    """
    from spendstream.runtime.kafka.admin import apply_topics  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    states = asyncio.run(apply_topics(Settings.load(), partitions, replication_factor))
    if as_json:
        print_json([vars(state) for state in states])
    else:
        print_table("", ["topic", "partitions", "state"], [(s.name, s.partitions, s.state) for s in states])
    if any(state.state not in ("ok", "created") for state in states):
        raise CommandError("some topics differ from their declaration (see above)")


def migrate(as_json: Json = False) -> None:
    """Bring the ClickHouse tables and views up to date.

    Example: spendstream migrate
    """
    from spendstream.runtime.clickhouse.migrate import migrate as apply_migrations  # noqa: PLC0415
    from spendstream.runtime.resources import shipped  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    done = apply_migrations(Settings.load(), shipped("clickhouse"))
    if as_json:
        print_json(done)
    else:
        print_table("", ["applied"], [(name,) for name in done] or [("nothing: up to date",)])
