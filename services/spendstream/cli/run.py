"""`spendstream run SERVICE`."""

import importlib
from typing import Annotated

import typer

from spendstream.cli.failures import USAGE, CommandError
from spendstream.cli.output import print_table

SERVICES = ("attribution", "budgets", "anomalies", "recommendations")


def run(
    service: Annotated[str, typer.Argument(help="One of: " + ", ".join(SERVICES))],
    explain: Annotated[bool, typer.Option("--explain", help="Print every setting and leave.")] = False,
) -> None:
    """Run one service until SIGTERM (the production form).

    Example: KAFKA_BOOTSTRAP=kafka:9092 CLICKHOUSE_URL=http://clickhouse:8123 spendstream run attribution
    """
    if service not in SERVICES:
        raise CommandError(f"no service {service}; there are {', '.join(SERVICES)}", USAGE)
    from spendstream.runtime.service import run_service  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    if explain:
        fields = Settings.model_fields.values()
        rows = [(field.alias, _shown(field.default), field.description) for field in fields]
        print_table(f"settings of {service}", ["variable", "default", "meaning"], rows)
        return
    try:
        settings = Settings.load()
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error
    run_service(service, settings, importlib.import_module(f"spendstream.{service}.app").build)


def _shown(default: object) -> str:
    secret = getattr(default, "get_secret_value", None)
    return str(secret()) if secret else "" if default is None else str(default)
