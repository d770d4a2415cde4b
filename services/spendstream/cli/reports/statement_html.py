"""Chargeback statements as one HTML file: a page a team, nothing loaded from elsewhere, fit to print."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spendstream.operations.reports.chargeback import Statement

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .8rem 0 .3rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #767676; text-align: right; vertical-align: top;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
th:first-child, td:first-child { text-align: left; }
tfoot th, tfoot td { border-bottom: 3px double #1a1a1a; font-weight: 600; }
.total { font-size: 1.3rem; }
.wide { overflow-x: auto; }
section + section { border-top: 2px solid #1a1a1a; margin-top: 3rem; padding-top: 2rem; }
footer { margin-top: 2rem; color: #4a4a4a; font-size: .875rem; }
@page { size: A4; margin: 15mm; }
@media print {
  body { font-size: 10pt; margin: 0; max-width: none; padding: 0; }
  section + section { break-before: page; border: 0; margin: 0; padding: 0; }
  table { break-inside: avoid; }
}
""".strip()


def statements_page(statements: "Sequence[Statement]", made_at: datetime) -> str:
    """The whole file."""
    title = "Chargeback statement" + (f" {statements[0].period.text}" if statements else "")
    body = "\n".join(_section(i, statement) for i, statement in enumerate(statements)) or "<p>Nobody is charged.</p>"
    return (
        "<!doctype html>\n"
        f'<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<footer>Spendstream, {made_at:%Y-%m-%d %H:%M} UTC. Amounts in US dollars, exact; times are UTC.</footer>\n"
        "</body>\n</html>\n"
    )


def _section(i: int, statement: "Statement") -> str:
    from spendstream.cli.reports.chargeback import change, label, not_priced  # noqa: PLC0415

    period = statement.period
    difference = change(statement)
    tops = (("Top models", "Model", statement.top_models), ("Top services", "Service", statement.top_services))
    return "\n".join([
        f'<section aria-labelledby="team-{i}">',
        f'<h1 id="team-{i}">{escape(label(statement))}</h1>',
        f"<p>Chargeback for {escape(period.text)}: {period.start:%Y-%m-%d} to before {period.end:%Y-%m-%d}</p>",
        f'<p class="total">Total <strong>{usd(statement.total_usd)} USD</strong></p>',
        f"<p>{escape(period.previous().text)}: {usd(statement.previous_usd)} USD"
        + (f" ({escape(difference)})" if difference else "")
        + "</p>",
        *([f"<p>{escape(not_priced(statement))}</p>"] if statement.not_priced_events else []),
        _amounts(statement),
        *(_top(caption, what, rows) for caption, what, rows in tops if rows),
        "</section>",
    ])  # fmt: skip


def _amounts(statement: "Statement") -> str:
    from spendstream.operations.reports.chargeback import KINDS  # noqa: PLC0415

    head = "".join(f'<th scope="col">{name}</th>' for name in ("Category", *(k.title() for k in KINDS), "Total"))
    rows = "".join(
        f'<tr><th scope="row">{escape(category)}</th>'
        + "".join(f"<td>{usd(statement.of(category, kind))}</td>" for kind in KINDS)
        + f"<td>{usd(statement.of(category))}</td></tr>\n"
        for category in statement.categories
    )
    foot = "".join(f"<td>{usd(statement.of(kind=kind))}</td>" for kind in KINDS)
    return (
        '<div class="wide" role="region" aria-label="By category" tabindex="0">'
        f"<table><caption>By category, USD</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{rows}</tbody>\n"
        f'<tfoot><tr><th scope="row">Total</th>{foot}<td>{usd(statement.total_usd)}</td></tr></tfoot></table></div>'
    )


def _top(caption: str, what: str, rows: Sequence[tuple[str, Decimal]]) -> str:
    lines = "".join(
        f'<tr><th scope="row">{escape(name or "(none)")}</th><td>{usd(amount)}</td></tr>\n' for name, amount in rows
    )
    return (
        f'<table><caption>{caption}, USD</caption>\n<thead><tr><th scope="col">{what}</th><th scope="col">USD</th></tr>'
        f"</thead>\n<tbody>\n{lines}</tbody></table>"
    )


def usd(amount: Decimal) -> str:
    """All digits that say something, at least cents."""
    whole, _, digits = format(amount, "f").partition(".")
    return f"{int(whole) if whole != '-0' else '-0':,}.{digits.rstrip('0'):0<2}"
