"""`spendstream report focus`."""

from typing import Annotated, Literal

import typer

from spendstream.cli.reaching import reaching
from spendstream.cli.reports.options import OutputOption, PeriodOption, period_option
from spendstream.cli.reports.writing import check_output, write_pieces


def focus(
    period: PeriodOption,
    grain: Annotated[
        Literal["charge", "hour", "day"], typer.Option("--grain", help="Every charge, or their sums an hour or day.")
    ] = "day",
    file_format: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="csv or parquet.")] = "csv",
    output: OutputOption = None,
) -> None:
    """Export v_focus: FOCUS 1.2 cost and usage rows, one per SKU (model and token class) and unit price.

    BilledCost and EffectiveCost add up to v_cost exactly; usage without a price is not in it (ask v_unpriced).

    Example: spendstream report focus --period 2026-11 --grain day --output focus-2026-11.csv
    """
    from spendstream.operations.reports.focus import export  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    wanted = period_option(period)
    check_output(file_format, output)
    with reaching():
        write_pieces(export(Store(Settings.load()), wanted, grain, file_format), output)
