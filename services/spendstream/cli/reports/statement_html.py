"""Chargeback statements as one HTML file: an overview, then a page a team; nothing is loaded, and it can be printed."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spendstream.domain.periods import Period
    from spendstream.operations.reports.chargeback import Statement

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto; max-width: 64rem;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .8rem 0 .3rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #767676; text-align: left; vertical-align: baseline; }
th[scope=row] { font-weight: 400; min-width: 8rem; overflow-wrap: anywhere; }
td { overflow-wrap: break-word; }
.usd { text-align: right; white-space: nowrap; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
small { font-size: .7em; color: #4a4a4a; }
small i { visibility: hidden; }
tfoot th[scope=row], tfoot td { border-bottom: 3px double #1a1a1a; font-weight: 600; }
.total { font-size: 1.3rem; }
.wide { overflow-x: auto; }
a { color: inherit; }
section + section { border-top: 2px solid #1a1a1a; margin-top: 3rem; padding-top: 2rem; }
footer { margin-top: 2rem; color: #4a4a4a; font-size: .875rem; }
@page { size: A4; margin: 15mm; }
@media print {
  body { font-size: 9pt; margin: 0; max-width: none; padding: 0; }
  p { margin: .3rem 0; }
  section + section { break-before: page; border: 0; margin: 0; padding: 0; }
  tr, caption { break-inside: avoid; }
  thead { display: table-header-group; }
  tfoot { display: table-row-group; }
  th, td { padding: .2rem .35rem; }
  th[scope=row] { min-width: 5rem; }
  .wide { overflow: visible; }
  a { text-decoration: none; }
}
""".strip()

CENTS = 2
Row = tuple[str, Sequence[Decimal | str]]


def statements_page(statements: "Sequence[Statement]", period: "Period", made_at: datetime) -> str:
    """The whole file; of several teams with an overview first."""
    from spendstream.cli.reports.chargeback import nobody  # noqa: PLC0415

    title = f"Chargeback statement {period.text}"
    sections = [_section(i, statement) for i, statement in enumerate(statements)]
    if len(sections) > 1:
        sections.insert(0, _overview(statements, period))
    body = "\n".join(sections) or f"<h1>{escape(title)}</h1>\n<p>{escape(nobody(period))}.</p>"
    return (
        "<!doctype html>\n"
        f'<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<footer>Spendstream, {made_at:%Y-%m-%d %H:%M} UTC. Amounts in US dollars: statements are exact, what is less"
        " than a cent is in small digits; an overview is rounded to cents. Times are UTC.</footer>\n</body>\n</html>\n"
    )


def _overview(statements: "Sequence[Statement]", period: "Period") -> str:
    from spendstream.cli.reports.chargeback import change, label, so_far  # noqa: PLC0415
    from spendstream.operations.reports.selection import exact_sum  # noqa: PLC0415

    kinds = _kinds(statements)
    rows: list[Row] = [
        (f'<a href="#team-{i}">{_name(label(each))}</a>',
         (*(each.of(kind=kind) for kind in kinds), each.total_usd, each.previous_usd, change(each)))
        for i, each in enumerate(statements)
    ]  # fmt: skip
    sums = [Decimal(exact_sum(row[1][i] for row in rows)) for i in range(len(kinds) + 2)]
    head = ("Team", *(kind.title() for kind in kinds), "Total", period.previous().text, "Change")
    return "\n".join([
        '<section aria-labelledby="all">', f'<h1 id="all">Chargeback {escape(period.text)}</h1>',
        f"<p>{period.start:%Y-%m-%d} to before {period.end:%Y-%m-%d}{so_far(period)}</p>",
        _table("All teams, USD", head, rows, (*sums, ""), CENTS), "</section>",
    ])  # fmt: skip


def _section(i: int, statement: "Statement") -> str:
    from spendstream.cli.reports.chargeback import change, dearest, label, not_priced, so_far  # noqa: PLC0415

    period, difference = statement.period, change(statement)
    charged = [
        (service, (source.replace(" ", "\N{NO-BREAK SPACE}"), why, usd))
        for service, source, why, usd in dearest(statement.items)
    ]
    models = [(model or "(none)", (usd,)) for model, usd in statement.top_models]
    return "\n".join([
        f'<section aria-labelledby="team-{i}">',
        f'<h1 id="team-{i}">{escape(label(statement))}</h1>',
        f"<p>Chargeback for {escape(period.text)}: {period.start:%Y-%m-%d} to before {period.end:%Y-%m-%d}"
        f"{so_far(period)}</p>",
        f'<p class="total">Total <strong>{money(statement.total_usd)} USD</strong></p>',
        f"<p>{escape(period.previous().text)}: {money(statement.previous_usd)} USD"
        + (f" ({escape(difference)})" if difference else "")
        + "</p>",
        *([f"<p>{escape(not_priced(statement))}</p>"] if statement.not_priced_events else []),
        *([_amounts(statement)] if statement.categories else []),
        *(_table(caption, head, [(_name(name), cells) for name, cells in rows]) for caption, head, rows in (
            ("Charged for, USD", ("Service", "From", "Why", "USD"), charged),
            ("Top models of its own calls, USD", ("Model", "USD"), models),
        ) if rows),
        "</section>",
    ])  # fmt: skip


def _amounts(statement: "Statement") -> str:
    kinds = _kinds([statement])
    rows: list[Row] = [
        (_name(category), (*(statement.of(category, kind) for kind in kinds), statement.of(category)))
        for category in statement.categories
    ]
    head = ("Category", *(kind.title() for kind in kinds), "Total")
    return _table("By category, USD", head, rows, (*(statement.of(kind=kind) for kind in kinds), statement.total_usd))


def _kinds(statements: "Sequence[Statement]") -> list[str]:
    """The kinds that occur: columns of nothing but zeros say nothing."""
    from spendstream.operations.reports.chargeback import KINDS  # noqa: PLC0415

    return [kind for kind in KINDS if any(of == kind for each in statements for _, of in each.amounts)]


def _table(
    caption: str, head: Sequence[str], rows: Sequence[Row], total: Sequence[Decimal | str] = (),
    places: int | None = None,
) -> str:  # fmt: skip
    """Names are HTML already. All amounts have as many decimals as one of them needs, so that they stand under each
    other; a column is aligned as its first cell is."""
    if places is None:
        cells = [*(cells for _, cells in rows), total]
        places = places_for(cell for row in cells for cell in row if isinstance(cell, Decimal))
    right = [True] * len(head) if not rows else [False, *(isinstance(cell, Decimal) for cell in rows[0][1])]
    titles = "".join(
        f'<th scope="col"{_class(numeric)}>{escape(name)}</th>' for name, numeric in zip(head, right, strict=True)
    )
    lines = "".join(f"{_line(name, cells, places)}\n" for name, cells in rows)
    foot = f"<tfoot>{_line('Total', total, places)}</tfoot>" if total else ""
    return (
        f'<div class="wide" role="region" aria-label="{escape(caption)}" tabindex="0">'
        f"<table><caption>{escape(caption)}</caption>\n<thead><tr>{titles}</tr></thead>\n"
        f"<tbody>\n{lines}</tbody>\n{foot}</table></div>"
    )


def _line(name: str, cells: Sequence[Decimal | str], places: int) -> str:
    inner = "".join(
        f"<td{_class(True)}>{money(cell, places)}</td>" if isinstance(cell, Decimal) else f"<td>{escape(cell)}</td>"
        for cell in cells
    )
    return f'<tr><th scope="row">{name}</th>{inner}</tr>'


def _class(numeric: bool) -> str:
    return ' class="usd"' if numeric else ""


def _name(text: str) -> str:
    """A name that may break where a reader would break it."""
    return escape(text).replace("_", "_<wbr>")


def places_for(amounts: Iterable[Decimal]) -> int:
    """Decimals that show every amount exactly, at least cents."""
    return max([CENTS, *(len(format(amount, "f").partition(".")[2].rstrip("0")) for amount in amounts)])


def money(amount: Decimal, places: int | None = None) -> str:
    """An amount, rounded where `places` are fewer than it has; digits below a cent are small, last zeros hidden."""
    if not amount:
        return "–"
    text = format(amount, f",.{places_for([amount]) if places is None else places}f")
    end = text.index(".") + 1 + CENTS
    fine = text[end:].rstrip("0")
    padding = f"<i>{text[end + len(fine) :]}</i>" if text[end + len(fine) :] else ""
    return text[:end] + (f"<small>{fine}{padding}</small>" if text[end:] else "")
