"""Operators' commands: imports, dead letters, repricing, alerts, budgets, recommendations, doctor, allocation."""

import typer

from spendstream.cli.alerts import alerts_app
from spendstream.cli.billing import billing
from spendstream.cli.budgets import budgets_app
from spendstream.cli.dead_letters import dead_letters_app
from spendstream.cli.doctor import doctor
from spendstream.cli.import_gpu import gpu as import_gpu
from spendstream.cli.imports import import_app
from spendstream.cli.prices import prices_app
from spendstream.cli.reallocate import reallocate
from spendstream.cli.recommendations import recommendations_app
from spendstream.cli.reprice import reprice


def mount(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    import_app.command("gpu")(import_gpu)
    import_app.command("billing")(billing)
    app.add_typer(import_app, name="import")
    app.add_typer(dead_letters_app, name="dead-letters")
    app.command("doctor")(doctor)
    app.command("reprice")(reprice)
    app.add_typer(alerts_app, name="alerts")
    app.add_typer(budgets_app, name="budgets")
    app.add_typer(recommendations_app, name="recommendations")
    app.add_typer(prices_app, name="prices")
    app.command("reallocate")(reallocate)
