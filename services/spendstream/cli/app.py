"""All commands in one tree. Heavy imports happen inside the commands, so that `--help` is quick."""

import typer

from spendstream.cli import bench, control, demo, operations, query, run, setup, up, verify
from spendstream.cli.economics import economics_app
from spendstream.cli.load import load_app
from spendstream.cli.report import report_app

app = typer.Typer(
    name="spendstream",
    help="Who is spending on AI, is it allowed, is it normal, and what would make it cheaper: while it is being spent.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.add_typer(up.stack_app, name="stack")
app.command("run")(run.run)
app.add_typer(setup.topics_app, name="topics")
app.command("migrate")(setup.migrate)
app.command("apply")(control.apply)
app.command("delete")(control.delete)
app.command("query")(query.query)
app.add_typer(report_app, name="report")
app.add_typer(load_app, name="load")
app.command("demo")(demo.demo)
app.command("verify")(verify.verify)
app.command("bench")(bench.bench)
operations.mount(app)
app.add_typer(economics_app, name="economics")
