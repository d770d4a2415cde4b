"""`spendstream report …`: one module under `reports/` per report, one line here to add it."""

import typer

from spendstream.cli.reports import reconciliation

report_app = typer.Typer(help="What a period cost, for people and for files.", no_args_is_help=True)


@report_app.callback()
def reports() -> None:
    """What a period cost, for people and for files."""


report_app.command("reconciliation")(reconciliation.reconciliation)
