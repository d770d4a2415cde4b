"""What every command that reaches out shares: options, times, and errors in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from spendstream.cli import INTERRUPTED
from spendstream.cli.failures import UNAVAILABLE, USAGE, CommandError

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def going_on() -> Iterator[None]:
    """A sentence for Ctrl-C in a command that may be given again."""
    try:
        yield
    except KeyboardInterrupt as error:
        hint = "give the same command again to go on: nothing is counted twice"
        raise CommandError(f"interrupted; {hint}", INTERRUPTED) from error


@contextmanager
def reaching() -> Iterator[None]:
    """A sentence for tables that are not there."""
    from spendstream.operations.store import NotMigratedError  # noqa: PLC0415

    try:
        yield
    except NotMigratedError as error:
        raise CommandError(str(error), UNAVAILABLE) from error


def since_option(text: str | None) -> datetime | None:
    """The value of `--since`; a usage error when it is neither an age nor a time."""
    return None if text is None else moment_option("--since", text)


def moment_option(option: str, text: str) -> datetime:
    """The value of an option that names a moment; a usage error when it is neither an age nor a time."""
    from spendstream.operations.since import moment  # noqa: PLC0415

    try:
        return moment(text, datetime.now(UTC))
    except ValueError as error:
        raise CommandError(f"{option}: {error}", USAGE) from error
