"""`spendstream budgets status`."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import typer

from spendstream.cli.failures import errors
from spendstream.cli.output import print_json, print_table
from spendstream.cli.reaching import JsonOption, reaching

budgets_app = typer.Typer(help="What may be spent, and what is.", no_args_is_help=True)
COLUMNS = ("budget", "scope", "window (UTC)", "spent USD", "of USD", "share", "forecast USD", "state")


@budgets_app.command("status")
def status(
    all_windows: Annotated[bool, typer.Option("--all", help="Every window, not only the latest of a budget.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Where each budget stands in its window, the most used first.

    A budget whose document is not in force any more (the broker was lost) says so: nothing watches it.

    Example: spendstream budgets status --json
    """
    from spendstream.operations import standing  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    with reaching():
        settings = Settings.load()
        found = standing.budgets(Store(settings), all_windows)
        declared = standing.declared_budgets(settings)
    if declared is None:
        errors.print("The broker does not answer: whether the documents of these budgets are in force is unknown.")
    in_force = [None if declared is None else (row.org, row.budget) in declared for row in found]
    if as_json:
        print_json([row._asdict() | {"in_force": known} for row, known in zip(found, in_force, strict=True)])
        return
    now = datetime.now(UTC)
    rows = [
        (
            row.budget if row.org == "default" else f"{row.org}/{row.budget}",
            row.scope or "everything",
            f"{row.window_start:%Y-%m-%d %H:%M} to {row.window_end:%Y-%m-%d %H:%M}"
            + (" (ended)" if row.window_end <= now else ""),
            cents(row.spent_usd),
            cents(row.amount_usd),
            f"{row.share:.1%}",
            cents(row.forecast_usd),
            _state(row.state, row.severity, known),
        )
        for row, known in zip(found, in_force, strict=True)
    ]
    print_table("", COLUMNS, rows)


def _state(state: str, severity: str, in_force: bool | None) -> str:
    if in_force is False:
        return "not in force: apply its document again"
    return state if state == "ok" else f"{state} ({severity})"


def cents(usd: Decimal | None) -> str:
    """Dollars for a table: rounded to cents, to more where cents would say nothing."""
    if usd is None:
        return ""
    return f"{usd:,.2f}" if usd == 0 or abs(usd) >= 1 else f"{usd:,.6f}"
