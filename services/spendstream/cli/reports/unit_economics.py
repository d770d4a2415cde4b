"""`spendstream report unit-economics`."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import USAGE, CommandError, errors
from spendstream.cli.output import console, print_table
from spendstream.cli.reaching import JsonOption, reaching
from spendstream.cli.reports.options import (
    FormatOption,
    OutputOption,
    PeriodOption,
    WhereOption,
    decimal_option,
    now,
    selection_option,
)
from spendstream.cli.reports.writing import check_output, write_table

if TYPE_CHECKING:
    from spendstream.domain.economics.unit import Projected
    from spendstream.domain.periods import Period
    from spendstream.operations.reports.unit_economics import Usage

COLUMNS = (
    "service", "requests", "users", "conversations", "tokens_per_request", "error_cost_share", "cost_usd",
    "cost_per_request_usd", "cost_per_user_usd", "cost_per_conversation_usd", "not_priced_events",
)  # fmt: skip
MONTH_DAYS = 30


def unit_economics(
    period: PeriodOption,
    where: WhereOption = None,
    revenue_usd: Annotated[
        str | None, typer.Option("--revenue-usd", help="Revenue of the period: cost ratio, margin, band.")
    ] = None,
    users: Annotated[
        int | None, typer.Option("--users", min=0, help="Users of the period, where user_id does not tell.")
    ] = None,
    growth: Annotated[str, typer.Option("--growth", help="Usage and revenue a month: 0.1 is ten percent.")] = "0",
    efficiency: Annotated[str, typer.Option("--efficiency", help="How much cheaper a unit gets a month.")] = "0",
    months: Annotated[int, typer.Option("--months", min=0, max=120, help="Months to project.")] = 0,
    file_format: FormatOption = "table",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a request, a user and a conversation of each service cost; with revenue, the margin and its band.

    AI cost below 20 % of revenue is good, 20 to 50 % acceptable, above 50 % concerning. A projection starts from the
    month of the period; any other period counts as so many days of thirty.

    Example: spendstream report unit-economics --period 2026-11 --revenue-usd 90000 --growth 0.1 --months 12
    """
    from spendstream.domain.economics.unit import project  # noqa: PLC0415
    from spendstream.operations.reports.selection import Table  # noqa: PLC0415
    from spendstream.operations.reports.unit_economics import altogether, by_service  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    selection, revenue = selection_option(period, where), decimal_option(revenue_usd, "--revenue-usd")
    rates = {"growth": decimal_option(growth, "--growth"), "efficiency": decimal_option(efficiency, "--efficiency")}
    file_format = "json" if as_json else file_format
    check_output(file_format, output)
    _refuse_negative(revenue)
    with reaching():
        store = Store(Settings.load())
        services, everything = by_service(store, selection), altogether(store, selection)
    scale = _to_a_month(selection.period, now())
    try:
        projected = project(
            _scaled(everything.cost_usd, scale), rates["growth"] or Decimal(0), rates["efficiency"] or Decimal(0),
            months, None if revenue is None else _scaled(revenue, scale),
        )  # fmt: skip
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error
    judged = everything.per_unit(revenue, users)
    table = Table(COLUMNS, [_row(usage) for usage in services])
    if file_format != "table":
        total = dict(zip(COLUMNS, _row(everything, users), strict=True)) | {"service": None}
        document = {
            "report": "unit-economics", "from": selection.period.start, "to": selection.period.end,
            "where": selection.equal, "rows": table.dicts(),
            "total": total | {"revenue_usd": revenue, "cost_ratio": judged.cost_ratio,
                              "gross_margin": judged.gross_margin, "band": judged.band},
            "projection": [asdict(month) for month in projected] if months else [],
        }  # fmt: skip
        write_table(table, document, file_format, output)
        return
    if not services:
        errors.print(f"no usage from {_title(selection.period)}")
        return
    print_table(_title(selection.period), COLUMNS, [_readable(row) for row in
                [*table.rows, ("total", *_row(everything, users)[1:])]])  # fmt: skip
    if judged.band is not None:
        console.print(f"\nAI cost is {judged.cost_ratio:.1%} of revenue: {judged.band}; gross margin "
                      f"{judged.gross_margin:.1%}", markup=False)  # fmt: skip
    if months:
        console.print()
        _print_projection(projected, scale)
    elif any(rates.values()):
        errors.print("--growth and --efficiency are of a projection: say over how many --months", style="dim")


def _row(usage: "Usage", users: int | None = None) -> tuple[Any, ...]:
    each = usage.per_unit(users=users)
    return (
        usage.service, usage.requests, usage.users if users is None else users, usage.conversations,
        usage.tokens_per_request, usage.error_cost_share, usage.cost_usd,
        each.per_request_usd, each.per_user_usd, each.per_conversation_usd, usage.not_priced_events,
    )  # fmt: skip


def _readable(row: Sequence[Any]) -> Sequence[Any]:
    tokens, share = row[4], row[5]
    return (*row[:4], None if tokens is None else round(tokens), "" if share is None else f"{share:.1%}", *row[6:])


def _refuse_negative(revenue: Decimal | None) -> None:
    if revenue is not None and revenue < 0:
        raise CommandError("--revenue-usd: revenue is negative", USAGE)


def _title(period: "Period") -> str:
    return f"{period.start:%Y-%m-%d %H:%M} to {period.end:%Y-%m-%d %H:%M} UTC"


def _to_a_month(period: "Period", moment: datetime) -> Decimal:
    """What makes a month of the period: 1 of a whole month that is over, else thirty days over the days it has had."""
    if len(period.months) == 1 and period.end <= moment:
        return Decimal(1)
    elapsed = (min(period.end, max(moment, period.start)) - period.start).total_seconds()
    return Decimal(MONTH_DAYS * 86_400) / Decimal(int(elapsed)) if elapsed >= 1 else Decimal(1)


def _scaled(amount: Decimal, scale: Decimal) -> Decimal:
    return (amount * scale).quantize(Decimal("1e-12"))


def _print_projection(projected: "Sequence[Projected]", scale: Decimal) -> None:
    base = "the period" if scale == 1 else f"the period × {scale:.4f} (thirty days of it)"
    rows = [
        (month.month, month.cost_usd, month.revenue_usd,
         "" if month.cost_ratio is None else f"{month.cost_ratio:.1%}",
         "" if month.gross_margin is None else f"{month.gross_margin:.1%}", month.band)
        for month in projected
    ]  # fmt: skip
    columns = ("month", "cost_usd", "revenue_usd", "cost ratio", "gross margin", "band")
    print_table(f"Projection; month 0 is {base}", columns, rows)
