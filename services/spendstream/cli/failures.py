"""From exceptions to exit codes and one clear line."""

import logging
import re
import sys
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

from spendstream.cli import INTERRUPTED

OK, CHECK_FAILED, USAGE, UNAVAILABLE = 0, 1, 2, 3

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class CommandError(Exception):
    """What went wrong, in words for the person at the keyboard, and the exit code."""

    def __init__(self, message: str, code: int = CHECK_FAILED) -> None:
        super().__init__(message)
        self.code = code


def quiet_libraries() -> None:
    """Keep client libraries from printing what the error line says anyway."""
    for library in ("aiokafka", "clickhouse_connect", "urllib3", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)


def explained(app: Callable[..., Any]) -> int:
    """Run the application; returns its exit code."""
    try:
        code = app(standalone_mode=False)
        return code if isinstance(code, int) else OK
    except CommandError as error:
        errors.print(f"error: {error}", markup=False)
        return error.code
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        if (show := getattr(error, "show", None)) is not None:  # typer's own usage errors
            if isinstance(message := getattr(error, "message", None), str):
                error.message = message.removeprefix("Value error, ")  # type: ignore[attr-defined]
            show(file=sys.stderr)
            return USAGE
        if str(error).startswith("unknown setting "):
            errors.print(f"error: {error}", markup=False)
            return USAGE
        if (message := _unavailable(error)) is None:
            raise
        errors.print(f"error: {message}", markup=False)
        return UNAVAILABLE


def _unavailable(error: Exception) -> str | None:
    """A sentence when the far side is away; None for a bug."""
    from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError  # noqa: PLC0415 - slow to import

    from spendstream.runtime.retry import GivenUpError, NotNowError  # noqa: PLC0415
    from spendstream.runtime.settings import ForeignStackError  # noqa: PLC0415

    if isinstance(error, ForeignStackError):
        return str(error)
    if "UNKNOWN_DATABASE" in str(error) or "UNKNOWN_TABLE" in str(error):
        return "ClickHouse has no Spendstream tables yet; run `spendstream migrate` (or `spendstream up`)"
    if isinstance(error, KafkaConnectionError | KafkaTimeoutError):
        at = re.search(r"\('([^']+)', (\d+)", str(error))  # the library prints what it passes to socket
        where = f" at {at[1]}:{at[2]}" if at else ""
        return f"no Kafka broker answers{where}; start one with `spendstream up` or set KAFKA_BOOTSTRAP"
    if isinstance(error, NotNowError | GivenUpError):
        return f"{error}; start the stack with `spendstream up` or set CLICKHOUSE_URL / KAFKA_BOOTSTRAP"
    return None
