"""`spendstream report chargeback`: what each team is charged, as a statement."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spendstream.cli.failures import CHECK_FAILED, USAGE, CommandError, errors
from spendstream.cli.output import cents, console, print_table
from spendstream.cli.reaching import JsonOption, reaching
from spendstream.cli.reports.options import OutputOption, PeriodOption, now, period_option
from spendstream.cli.reports.writing import check_output, write_pieces, write_table

if TYPE_CHECKING:
    from spendstream.domain.periods import Period
    from spendstream.operations.reports.chargeback import Item, Statement

StatementFormat = Literal["table", "json", "csv", "parquet", "html"]
SHOWN = 10
FROM = {"usage": "API calls", "gpu": "GPUs", "billing": "invoice"}
COLUMNS = ("team", "direct", "allocated", "idle", "unallocated", "total USD", "before", "change", "not priced")


def chargeback(
    period: PeriodOption,
    team: Annotated[str | None, typer.Option("--team", help="Only this team; '' is what nobody owns.")] = None,
    org: Annotated[str | None, typer.Option("--org", help="Only this organisation.")] = None,
    file_format: Annotated[
        StatementFormat,
        typer.Option("--format", help="html is a page for all and one a team, to print or to save as PDF."),
    ] = "table",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """What each team is charged for a month: direct, allocated, idle and unallocated cost by category.

    The statements add up to v_chargeback_month exactly; csv and parquet hold its rows. The period must be whole months.

    Example: spendstream report chargeback --period 2026-11 --team search --format html --output search.html
    """
    from spendstream.cli.reports.statement_html import statements_page  # noqa: PLC0415
    from spendstream.operations.reports.chargeback import Whose, detail, statements  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    wanted = period_option(period)
    if not wanted.months:
        raise CommandError(f"--period: {period!r} is not made of whole months, as 2026-11 or 2026-Q4 are", USAGE)
    file_format = "json" if as_json else file_format
    check_output(file_format, output)
    with reaching():
        store, whose = Store(Settings.load()), Whose(team, org)
        found = statements(store, wanted, whose)
        rows = detail(store, wanted, whose) if file_format in ("csv", "parquet", "json") else None
    if team is not None and not found:
        raise CommandError(f"team {team!r} is charged nothing in {period}, nor was in the period before", CHECK_FAILED)
    if file_format == "html":
        write_pieces([statements_page(found, wanted, now()).encode()], output)
    elif rows is not None:
        document = {"report": "chargeback", "from": wanted.start, "to": wanted.end,
                    "statements": [_document(statement) for statement in found], "rows": rows.dicts()}  # fmt: skip
        write_table(rows, document, file_format, output)
    elif not found:
        errors.print(f"{nobody(wanted)}: no usage, GPUs or invoices", markup=False)
    elif team is not None:
        for statement in found:
            _print_statement(statement)
    else:
        _print_overview(found, wanted)


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
        "items": [item._asdict() for item in statement.items],
    }  # fmt: skip


def label(statement: "Statement") -> str:
    """How a team is called in a statement."""
    team = statement.team or "(nobody)"
    return team if statement.org == "default" else f"{statement.org}/{team}"


def change(statement: "Statement") -> str:
    """Of the total, against the period before."""
    if not statement.previous_usd:
        return "new" if statement.total_usd else ""
    text = f"{statement.total_usd / statement.previous_usd - 1:+.1%}"
    return "0.0%" if text in ("+0.0%", "-0.0%") else text


def not_priced(statement: "Statement") -> str:
    """What a reader must know about what is missing."""
    return f"Not in it yet: {statement.not_priced_events} events without a price for all they used."


def so_far(period: "Period") -> str:
    """Said of a period that is not over: its amounts still grow."""
    return " (not over yet: so far)" if period.end > now() else ""


def nobody(period: "Period") -> str:
    """Said where there is no statement."""
    return f"Nobody is charged anything in {period.text}, nor was in {period.previous().text}"


def what_for(item: "Item") -> str:
    """Why a team is charged for an item, in words."""
    if item.kind == "allocated":
        return f"shared out by {item.why}"
    return item.why if item.kind == "idle" else f"{item.kind}: {item.why}" if item.why else item.kind


def dearest(items: "Sequence[Item]") -> "list[tuple[str, str, str, Decimal]]":
    """(service, from, why, USD) of the dearest items, and all others in one row: they add up to the statement."""
    rows = [(item.service or "(none)", FROM[item.source], what_for(item), item.cost_usd) for item in items]
    if len(rows) <= SHOWN:
        return rows
    rest = _sum([row[-1] for row in rows[SHOWN:]])
    return [*rows[:SHOWN], (f"{len(rows) - SHOWN} smaller items", "", "", rest)]


def _print_overview(found: "Sequence[Statement]", period: "Period") -> None:
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
    print_table(f"Chargeback by team, {period.text}{so_far(period)}: USD", COLUMNS, rows)


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
    period = statement.period
    print_table(f"{label(statement)}, {period.text}{so_far(period)}: USD", ("category", *KINDS, "total"), rows)
    previous = period.previous().text
    console.print(f"\n{previous}: {cents(statement.previous_usd)} USD {change(statement)}\n", markup=False)
    if statement.not_priced_events:
        console.print(not_priced(statement) + "\n", markup=False)
    print_table("Charged for", ("service", "from", "why", "USD"), dearest(statement.items))
    console.print()
    print_table("Top models of its own calls", ("model", "USD"), statement.top_models)
