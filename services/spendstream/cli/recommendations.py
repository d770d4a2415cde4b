"""`spendstream recommendations list`."""

from typing import Annotated, Literal

import typer

from spendstream.cli.failures import errors
from spendstream.cli.output import dollars, places_for, print_json, print_table
from spendstream.cli.reaching import JsonOption, reaching

recommendations_app = typer.Typer(help="What would make it cheaper.", no_args_is_help=True)
State = Literal["open", "accepted", "applied", "verified", "rejected", "expired"]
COLUMNS = ("id", "kind", "target", "what to do", "USD a month", "from", "to", "confidence", "effort", "risk", "state")


@recommendations_app.command("list")
def list_(
    state: Annotated[State | None, typer.Option("--state", help="Only those in this state.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Every recommendation as it stands, the largest saving first. Savings overlap: they do not add up.

    Example: spendstream recommendations list --state open
    """
    from spendstream.operations import standing  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    with reaching():
        found = standing.recommendations(Store(Settings.load()), state)
    if as_json:
        print_json([row._asdict() for row in found])
        return
    if not found:
        what = "nothing yet" if state is None else f"nothing in state {state}"
        errors.print(f"{what}: the service recommendations needs some days of usage, and must run", style="dim")
    places = places_for(usd for row in found for usd in (row.monthly_saving_usd, row.low_usd, row.high_usd))
    rows = [
        (row.recommendation_id, row.kind, row.target, row.title,
         *(dollars(usd, places) for usd in (row.monthly_saving_usd, row.low_usd, row.high_usd)),
         f"{row.confidence:.0%}", row.effort, row.risk, row.state)
        for row in found
    ]  # fmt: skip
    print_table("", COLUMNS, rows)
