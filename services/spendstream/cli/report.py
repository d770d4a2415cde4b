"""`spendstream report …`: one module under `reports/` per report, one line here to add it."""

import typer

from spendstream.cli.reports import chargeback, focus, gpu, reconciliation, spend, unit_economics

report_app = typer.Typer(help="What a period cost, for people and for files.", no_args_is_help=True)
report_app.command("breakdown")(spend.breakdown)
report_app.command("trend")(spend.trend)
report_app.command("chargeback")(chargeback.chargeback)
report_app.command("unit-economics")(unit_economics.unit_economics)
report_app.command("focus")(focus.focus)
report_app.command("gpu")(gpu.gpu)
report_app.command("reconciliation")(reconciliation.reconciliation)
