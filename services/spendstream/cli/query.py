"""`spendstream query "SQL"`."""

import sys
import time
from typing import Annotated

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
        raise CommandError(str(error).split("\n")[0]) from error
    rows = result.result_rows
    if as_json:
        print_json([dict(zip(result.column_names, row, strict=True)) for row in rows])
        return
    print_table("", result.column_names, rows)
    if sys.stderr.isatty():
        took = time.perf_counter() - started
        errors.print(f"{len(rows)} row{'s' * (len(rows) != 1)} in {took:.3f} s", style="dim")
