"""`spendstream report chargeback`: what each team is charged, as a statement."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spendstream.cli.failures import CHECK_FAILED, USAGE, CommandError
from spendstream.cli.output import cents, console, print_table
from spendstream.cli.reaching import JsonOption, reaching
from spendstream.cli.reports.options import OutputOption, PeriodOption, now, period_option
from spendstream.cli.reports.writing import check_output, write_pieces, write_table

if TYPE_CHECKING:
    from spendstream.operations.reports.chargeback import Statement

StatementFormat = Literal["table", "json", "csv", "parquet", "html"]
COLUMNS = ("team", "direct", "allocated", "idle", "unallocated", "total USD", "before", "change", "not priced")


def chargeback(
    period: PeriodOption,
    team: Annotated[str | None, typer.Option("--team", help="Only this team; '' is what nobody owns.")] = None,
    file_format: Annotated[
        StatementFormat, typer.Option("--format", help="html is one page a team, to print or to save as PDF.")
    ] = "table",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """What each team is charged for a month: direct, allocated, idle and unallocated cost by category.

    The statements add up to v_chargeback_month exactly; csv and parquet hold its rows. The period must be whole months.

    Example: spendstream report chargeback --period 2026-11 --team search --format html --output search.html
    """
    from spendstream.cli.reports.statement_html import statements_page  # noqa: PLC0415
    from spendstream.operations.reports.chargeback import detail, statements  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    wanted = period_option(period)
    if not wanted.months:
        raise CommandError(f"--period: {period!r} is not made of whole months, as 2026-11 or 2026-Q4 are", USAGE)
    file_format = "json" if as_json else file_format
    check_output(file_format, output)
    with reaching():
        store = Store(Settings.load())
        found = statements(store, wanted, team)
        rows = detail(store, wanted, team) if file_format in ("csv", "parquet", "json") else None
    if team is not None and not found:
        raise CommandError(f"team {team!r} is charged nothing in {period}, nor was in the period before", CHECK_FAILED)
    if file_format == "html":
        write_pieces([statements_page(found, now()).encode()], output)
    elif rows is not None:
        document = {"report": "chargeback", "from": wanted.start, "to": wanted.end,
                    "statements": [_document(statement) for statement in found], "rows": rows.dicts()}  # fmt: skip
        write_table(rows, document, file_format, output)
    elif team is not None:
        for statement in found:
            _print_statement(statement)
    else:
        _print_overview(found)


def _document(statement: "Statement") -> dict[str, Any]:
    from spendstream.operations.reports.chargeback import KINDS  # noqa: PLC0415

    return {
        "org": statement.org, "team": statement.team, "period": statement.period.text,
        **{f"{kind}_usd": statement.of(kind=kind) for kind in KINDS},
        "total_usd": statement.total_usd, "previous_usd": statement.previous_usd,
        "not_priced_events": statement.not_priced_events,
        "categories": {
            category: {kind: statement.of(category, kind) for kind in KINDS} for category in statement.categories
        },
        "top_models": [{"model": name, "cost_usd": usd} for name, usd in statement.top_models],
        "top_services": [{"service": name, "cost_usd": usd} for name, usd in statement.top_services],
    }  # fmt: skip


def label(statement: "Statement") -> str:
    """How a team is called in a statement."""
    team = statement.team or "(nobody)"
    return team if statement.org == "default" else f"{statement.org}/{team}"


def change(statement: "Statement") -> str:
    """Of the total, against the period before."""
    if not statement.previous_usd:
        return "new" if statement.total_usd else ""
    return f"{statement.total_usd / statement.previous_usd - 1:+.1%}"


def not_priced(statement: "Statement") -> str:
    """What a reader must know about what is missing."""
    return f"Not in it yet: {statement.not_priced_events} events without a price for all they used."


def _print_overview(found: "Sequence[Statement]") -> None:
    from spendstream.operations.reports.chargeback import KINDS  # noqa: PLC0415

    rows: list[tuple[Any, ...]] = [
        (
            label(each),
            *(each.of(kind=kind) for kind in KINDS),
            each.total_usd,
            each.previous_usd,
            change(each),
            each.not_priced_events,
        )
        for each in found
    ]
    sums = [_sum([row[i] for row in rows]) for i in range(1, len(COLUMNS) - 2)]
    rows.append(("total", *sums, "", sum(each.not_priced_events for each in found)))
    print_table("Chargeback by team, USD", COLUMNS, rows)


def _sum(values: Sequence[Decimal]) -> Decimal:
    from spendstream.operations.reports.selection import exact_sum  # noqa: PLC0415

    return Decimal(exact_sum(values))


def _print_statement(statement: "Statement") -> None:
    from spendstream.operations.reports.chargeback import KINDS  # noqa: PLC0415

    rows: list[tuple[Any, ...]] = [
        (category, *(statement.of(category, kind) for kind in KINDS), statement.of(category))
        for category in statement.categories
    ]
    rows.append(("total", *(statement.of(kind=kind) for kind in KINDS), statement.total_usd))
    print_table(f"{label(statement)}, {statement.period.text}: USD", ("category", *KINDS, "total"), rows)
    previous = statement.period.previous().text
    console.print(f"\n{previous}: {cents(statement.previous_usd)} USD {change(statement)}\n", markup=False)
    if statement.not_priced_events:
        console.print(not_priced(statement) + "\n", markup=False)
    print_table("Top models", ("model", "USD"), statement.top_models)
    console.print()
    print_table("Top services", ("service", "USD"), statement.top_services)
