"""`spendstream query "SQL"`."""

import sys
import time
from typing import Annotated, Any

import typer

from spendstream.cli.failures import CommandError, errors
from spendstream.cli.output import print_json, print_table


def query(
    sql: Annotated[str, typer.Argument(help="A statement; tables and views live in the database spendstream.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list of objects; decimals as exact text.")
    ] = False,
) -> None:
    """Ask ClickHouse (CLICKHOUSE_URL, or the embedded one). Read only: nothing can be changed by it.

    Example: spendstream query "select team, sum(cost_usd) from v_cost group by team order by 2 desc"
    """
    from clickhouse_connect.driver.exceptions import DatabaseError  # noqa: PLC0415

    from spendstream.runtime.clickhouse.client import connect  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    client = connect(Settings.load())
    started = time.perf_counter()
    try:
        result = client.query(sql, settings={"readonly": 2})
    except DatabaseError as error:
        raise CommandError(_said(client, sql, str(error))) from error
    rows = result.result_rows
    if as_json:
        print_json([dict(zip(result.column_names, row, strict=True)) for row in rows])
        return
    print_table("", result.column_names, rows)
    if not rows:
        errors.print("no rows: nothing matches, or nothing has arrived yet", style="dim")
    if sys.stderr.isatty():
        took = time.perf_counter() - started
        errors.print(f"{len(rows)} row{'s' * (len(rows) != 1)} in {took:.3f} s", style="dim")


def _said(client: Any, sql: str, text: str) -> str:
    """ClickHouse's words about what the user wrote: a syntax error is asked for again without the FORMAT we append."""
    from clickhouse_connect.driver.exceptions import DatabaseError  # noqa: PLC0415

    from spendstream.runtime.clickhouse.client import in_words  # noqa: PLC0415

    if "SYNTAX_ERROR" in text:
        try:
            client.raw_query(sql, settings={"readonly": 2})
        except DatabaseError as error:
            return in_words(str(error))
        return "leave out FORMAT and anything behind it: this command formats the rows (--json prints JSON)"
    return in_words(text)
