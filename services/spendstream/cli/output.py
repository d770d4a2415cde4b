"""Tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)


def plain(value: Any) -> Any:
    """A value for JSON: decimals as exact text, times as RFC 3339."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    json.dump(value, sys.stdout, default=plain, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False)
    sys.stdout.write("\n")


def cell(value: Any) -> str:
    """Text of a value in a table: money and counts readable, nothing lost."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, Decimal):
        return format(value.normalize() if value == value.to_integral() else value, "f")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(plain(value))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; numbers are right-aligned. Wide when piped, so that nothing is cut. Brackets in names are no markup."""
    rows = list(rows)
    table = Table(
        title=Text(title) if title else None, title_justify="left", header_style="bold", box=None, pad_edge=False
    )
    for i, name in enumerate(columns):
        numeric = any(isinstance(row[i], int | float | Decimal) and not isinstance(row[i], bool) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in _texts(len(columns), rows):
        table.add_row(*(Text(text) for text in row))
    target = console if sys.stdout.isatty() else Console(highlight=False, width=max(120, _width(columns, rows)))
    target.print(table)


def _texts(count: int, rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Cells as text; decimals of a column keep their places as soon as one of them needs them."""
    broken = [
        any(isinstance(row[i], Decimal) and row[i].is_finite() and row[i] != row[i].to_integral() for row in rows)
        for i in range(count)
    ]
    return [
        [format(value, "f") if broken[i] and isinstance(value, Decimal) else cell(value) for i, value in enumerate(row)]
        for row in rows
    ]


def _width(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    texts = _texts(len(columns), rows)
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(columns)]

    return min(4_000, sum(widths) + 2 * len(widths) + 4)


def cents(usd: Decimal | None) -> str:
    """One amount by itself: rounded to cents, to six places where cents would say nothing."""
    return dollars(usd, places_for([usd]))


def places_for(amounts: Iterable[Decimal | None]) -> int:
    """Decimals for all amounts of a table: cents, or six where cents would say nothing of one of them."""
    return 6 if any(usd is not None and 0 < abs(usd) < 1 for usd in amounts) else 2


def dollars(usd: Decimal | None, places: int) -> str:
    """Dollars for a table, rounded."""
    return "" if usd is None else f"{usd:,.{places}f}"


def where(org: str, model: str) -> str:
    """A model, and whose where there are several organisations."""
    return model if org == "default" else f"{org}: {model}"


def turned(before: str, after: str) -> str:
    """What became of a name; empty ones are spelled."""
    return before if before == after else f"{before or '(none)'} → {after or '(none)'}"
