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

    Example: spendstream budgets status --json
    """
    from spendstream.operations import standing  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    with reaching():
        found = standing.budgets(Store(Settings.load()), all_windows)
    if as_json:
        print_json([row._asdict() for row in found])
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
            row.state if row.state == "ok" else f"{row.state} ({row.severity})",
        )
        for row in found
    ]
    print_table("", COLUMNS, rows)
