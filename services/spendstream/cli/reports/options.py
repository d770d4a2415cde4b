"""Options that reports share, and what they mean."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spendstream.cli.failures import USAGE, CommandError

if TYPE_CHECKING:
    from spendstream.domain.periods import Period
    from spendstream.operations.reports.selection import Selection

Format = Literal["table", "json", "csv", "parquet"]
PeriodOption = Annotated[
    str,
    typer.Option(
        "--period", help="2026-11, 2026-Q4, 2026-11-03, 2026-11-01..2026-11-15, last-7d, last-24h, last-month; UTC."
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="table for people; the others hold exact decimals.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to this file instead of the terminal.", dir_okay=False)
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", help="Only rows with DIMENSION=VALUE, as in team=search; may be repeated.", metavar="D=V"),
]
ByOption = Annotated[
    str, typer.Option("--by", help="Dimensions, separated by commas: team,model,day,… (see --help of breakdown).")
]


def now() -> datetime:
    """The time reports see as now."""
    return datetime.now(UTC)


def period_option(text: str) -> "Period":
    """The value of `--period`."""
    from spendstream.domain.periods import parse_period  # noqa: PLC0415

    try:
        return parse_period(text, now())
    except ValueError as error:
        raise CommandError(f"--period: {error}", USAGE) from error


def dimensions_option(text: str, option: str = "--by") -> Sequence[str]:
    """The names in a `--by`, each once."""
    from spendstream.operations.reports.selection import DIMENSIONS  # noqa: PLC0415

    names = [name for part in text.split(",") if (name := part.strip())]
    for name in names:
        if name not in DIMENSIONS:
            raise CommandError(f"{option}: {name!r} is no dimension; known: {', '.join(sorted(DIMENSIONS))}", USAGE)
        if names.count(name) > 1:
            raise CommandError(f"{option}: {name!r} is there twice", USAGE)
    return names


def selection_option(period: str, where: list[str] | None) -> "Selection":
    """`--period` and every `--where` together."""
    from spendstream.operations.reports.selection import Selection  # noqa: PLC0415

    equal: dict[str, str] = {}
    for term in where or []:
        name, mark, value = term.partition("=")
        if not mark:
            raise CommandError(f"--where: {term!r} is not of the form DIMENSION=VALUE, as in team=search", USAGE)
        [name] = dimensions_option(name, "--where") or [""]
        if name in equal or not name:
            raise CommandError(f"--where: {term!r} names no dimension, or one a second time", USAGE)
        equal[name] = value
    return Selection(period_option(period), equal)


def decimal_option(text: str | None, option: str) -> Decimal | None:
    """An exact number, or None where it was not given."""
    from spendstream.domain.money import decimal_from  # noqa: PLC0415

    try:
        return None if text is None else decimal_from(text)
    except ValueError as error:
        raise CommandError(f"{option}: {error}", USAGE) from error
