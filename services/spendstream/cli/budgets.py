"""`spendstream budgets status`."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import typer

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
            row.state if row.state == "ok" else f"{row.state} ({row.severity})",
        )
        for row in found
    ]
    print_table("", COLUMNS, rows)


def cents(usd: Decimal | None) -> str:
    """Dollars for a table: rounded to cents, to more where cents would say nothing."""
    if usd is None:
        return ""
    return f"{usd:,.2f}" if usd == 0 or abs(usd) >= 1 else f"{usd:,.6f}"
