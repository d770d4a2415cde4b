"""`spendstream alerts tail`."""

import asyncio
import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from spendstream.cli.failures import errors
from spendstream.cli.output import plain
from spendstream.cli.reaching import JsonOption, reaching, since_option

alerts_app = typer.Typer(help="What on-call must know.", no_args_is_help=True)

Kind = Annotated[
    Literal["budget", "anomaly", "governance", "pipeline"] | None, typer.Option("--kind", help="Only this kind.")
]


@alerts_app.command("tail")
def tail(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", help="Published since: an age (2h, 7d) or an RFC 3339 time.")
    ] = None,
    newest: Annotated[int, typer.Option("--lines", "-n", min=0, help="Without --since: the last so many states.")] = 20,
    kind: Kind = None,
    as_json: JsonOption = False,
) -> None:
    """Print alert states as they were published, one a line: time, state, severity, kind, title. UTC.

    Example: spendstream alerts tail --follow --since 1h --kind budget
    """
    begin = since_option(since)
    with reaching():
        asyncio.run(_tail(begin, newest, follow, kind, as_json))


async def _tail(since: datetime | None, newest: int, follow: bool, kind: str | None, as_json: bool) -> None:
    from spendstream.operations.alerts import states  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    shown = 0
    async for state in states(Settings.load(), since, newest, follow, kind):
        text = json.dumps(state, default=plain, ensure_ascii=False) if as_json else _line(state)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        shown += 1
    if not shown:
        errors.print("nothing yet: no alert matches (--since looks further back, --kind at other kinds)", style="dim")


def _line(state: Mapping[str, Any]) -> str:
    emitted = f"{state['emitted_at']:%Y-%m-%dT%H:%M:%SZ}"
    return f"{emitted}  {state['state']:<12}  {state['severity']:<8}  {state['kind']:<10}  {state['title']}"
