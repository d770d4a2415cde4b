"""`spendstream budgets status`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from spendstream.cli.failures import errors
from spendstream.cli.output import dollars, places_for, print_json, print_table
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
    if not found:
        errors.print("nothing yet: no Budget document is applied, or the service budgets does not run", style="dim")
    places = places_for(usd for row in found for usd in (row.spent_usd, row.amount_usd, row.forecast_usd))
    now = datetime.now(UTC)
    rows = [
        (
            row.budget if row.org == "default" else f"{row.org}/{row.budget}",
            row.scope or "everything",
            f"{row.window_start:%Y-%m-%d %H:%M} to {row.window_end:%Y-%m-%d %H:%M}"
            + (" (ended)" if row.window_end <= now else ""),
            dollars(row.spent_usd, places),
            dollars(row.amount_usd, places),
            f"{row.share:.1%}",
            dollars(row.forecast_usd, places),
            _state(row.state, row.severity, known),
        )
        for row, known in zip(found, in_force, strict=True)
    ]
    print_table("", COLUMNS, rows)


def _state(state: str, severity: str, in_force: bool | None) -> str:
    if in_force is False:
        return "not in force: apply its document again"
    return state if state == "ok" else f"{state} ({severity})"
