"""`spendstream report breakdown` and `spendstream report trend`."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spendstream.cli.failures import errors
from spendstream.cli.output import print_table
from spendstream.cli.reaching import JsonOption, reaching
from spendstream.cli.reports.options import (
    ByOption,
    FormatOption,
    OutputOption,
    PeriodOption,
    WhereOption,
    dimensions_option,
    now,
    selection_option,
)
from spendstream.cli.reports.writing import check_output, write_table

if TYPE_CHECKING:
    from spendstream.operations.reports.selection import Selection, Table

Grain = Literal["hour", "day", "month"]


def breakdown(
    period: PeriodOption,
    by: ByOption = "team",
    where: WhereOption = None,
    file_format: FormatOption = "table",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """What was spent in a period, by any dimensions, the dearest first. The rows add up to v_cost exactly.

    Dimensions: org team project environment cost_center service feature provider model category region tier status
    user_id api_key_id price_id hour day month.

    Example: spendstream report breakdown --period 2026-11 --by team,model --format csv --output november.csv
    """
    from spendstream.operations.reports import breakdown as reports  # noqa: PLC0415

    names, selection = dimensions_option(by), selection_option(period, where)
    file_format = "json" if as_json else file_format
    check_output(file_format, output)
    with reaching():
        table = reports.breakdown(_store(), selection, names)
    _show("breakdown", selection, names, table, file_format, output)


def trend(
    period: PeriodOption,
    grain: Annotated[Grain, typer.Option("--grain", help="One row per hour, day or month.")] = "day",
    by: ByOption = "",
    where: WhereOption = None,
    file_format: FormatOption = "table",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """How spending went over time, also by dimensions. UTC.

    Example: spendstream report trend --period last-7d --grain hour --where team=search
    """
    from spendstream.operations.reports import breakdown as reports  # noqa: PLC0415

    names, selection = dimensions_option(by), selection_option(period, where)
    names = [name for name in names if name != grain]
    file_format = "json" if as_json else file_format
    check_output(file_format, output)
    with reaching():
        table = reports.trend(_store(), selection, grain, names, now())
    _show("trend", selection, [grain, *names], table, file_format, output)


def _store() -> Any:
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    return Store(Settings.load())


def _show(
    report: str, selection: "Selection", by: Sequence[str], table: "Table", file_format: str, output: Path | None
) -> None:
    measures = table.columns[len(by) :]
    total = {name: table.total(name) for name in measures}
    period = selection.period
    if file_format != "table":
        document = {
            "report": report, "from": period.start, "to": period.end, "where": selection.equal, "by": by,
            "rows": table.dicts(), "total": total,
        }  # fmt: skip
        write_table(table, document, file_format, output)
        return
    where = "".join(f", {name} {value!r}" for name, value in selection.equal.items())
    title = f"{period.start:%Y-%m-%d %H:%M} to {period.end:%Y-%m-%d %H:%M} UTC{where}"
    if not total["requests"] and not total["cost_usd"] and not total["unpriced_events"]:
        errors.print(f"no usage from {title}", markup=False)
        return
    rows = [(*map(_readable, row), _share(row[-1], total["cost_usd"])) for row in table.rows]
    if by:
        rows.append((*("total" if i == 0 else "" for i in range(len(by))), *total.values(), ""))
    print_table(title, [*table.columns, "share"], rows)


def _readable(value: Any) -> Any:
    """Hours without seconds and offset: the title says UTC."""
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else value


def _share(amount: Any, total: Any) -> str:
    return f"{amount / total:.1%}" if total else ""
