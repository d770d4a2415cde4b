"""`spendstream report focus`."""

from typing import Annotated, Literal

import typer

from spendstream.cli.failures import USAGE, CommandError
from spendstream.cli.reaching import reaching
from spendstream.cli.reports.options import OutputOption, PeriodOption, period_option
from spendstream.cli.reports.writing import check_output, write_pieces


def focus(
    period: PeriodOption,
    grain: Annotated[
        Literal["charge", "hour", "day"], typer.Option("--grain", help="Every charge, or their sums an hour or day.")
    ] = "day",
    version: Annotated[
        Literal["1.2", "1.3"],
        typer.Option("--focus-version", help="1.2: what was measured. 1.3: bills too, shared out by the rules."),
    ] = "1.2",
    period_of: Annotated[
        Literal["charge", "billing"],
        typer.Option("--period-of", help="Whose period: the charge's, or that of the bill it would be on."),
    ] = "charge",
    file_format: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="csv or parquet.")] = "csv",
    output: OutputOption = None,
) -> None:
    """Export FOCUS cost and usage rows: token classes, GPU hours, and corrections of months that had ended.

    Rows with x_Source usage cost exactly what v_cost says; usage without a price is not in them (ask v_unpriced).
    --focus-version 1.3 has whole months, and costs by owner what v_allocated says.

    Example: spendstream report focus --period 2026-11 --grain day --output focus-2026-11.csv
    """
    from spendstream.operations.reports.focus import FocusExport, export  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    wanted = FocusExport(period_option(period), grain, version, period_of)
    if wanted.needs_months and not wanted.period.months:
        why = "--focus-version 1.3" if version == "1.3" else "--period-of billing"
        raise CommandError(f"--period: {why} needs whole months, as in 2026-11 or 2026-Q4", USAGE)
    check_output(file_format, output)
    with reaching():
        write_pieces(export(Store(Settings.load()), wanted, file_format), output)
