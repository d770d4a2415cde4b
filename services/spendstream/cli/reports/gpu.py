"""`spendstream report gpu`: what GPUs cost, what of it was work, and what the tokens they made would cost elsewhere."""

from collections.abc import Collection
from typing import Annotated

import typer

from spendstream.cli.failures import USAGE, CommandError
from spendstream.cli.output import console, print_table
from spendstream.cli.reaching import JsonOption, reaching
from spendstream.cli.reports.options import FormatOption, OutputOption, PeriodOption, period_option
from spendstream.cli.reports.writing import check_output, write_table

SHOWN_AS = {
    "utilisation": "used", "cost_usd": "USD", "used_usd": "used USD", "waste_usd": "idle USD",
    "usd_per_hour": "USD/h", "effective_usd_per_hour": "USD/h of work", "used_hours": "used h", "hours": "h",
    "used_usd_per_million_tokens": "used USD/M tokens", "usd_per_million_tokens": "USD/M tokens",
    "api_usd_per_million_tokens": "API USD/M tokens", "unpriced_hours": "unpriced h",
}  # fmt: skip


def gpu(
    period: PeriodOption,
    by: Annotated[
        str, typer.Option("--by", help="Of org, day, month, gpu_model, team, service, separated by commas.")
    ] = "gpu_model,team,service",
    file_format: FormatOption = "table",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """What GPUs cost in a period of whole days: used and idle, the effective price (price / utilisation), dollars per
    million tokens on what was used and on what was allocated, and what an API would charge for the same tokens.

    A row without a team is what nobody had. Costs add up to v_gpu_cost exactly.

    Example: spendstream report gpu --period 2026-07 --by gpu_model,team
    """
    from spendstream.operations.reports import gpu as reports  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    names, wanted = _dimensions(by, reports.DIMENSIONS), period_option(period)
    if any(
        (edge.hour, edge.minute, edge.second, edge.microsecond) != (0, 0, 0, 0) for edge in (wanted.start, wanted.end)
    ):
        raise CommandError(f"--period: {period!r} is not made of whole days", USAGE)
    file_format = "json" if as_json else file_format
    check_output(file_format, output)
    with reaching():
        store = Store(Settings.load())
        table, unbilled = reports.efficiency(store, wanted, names), reports.gaps(store, wanted)
    if file_format == "table":
        print_table(f"GPUs, {wanted.text}", [SHOWN_AS.get(name, name) for name in table.columns], table.rows)
        total = table.total("cost_usd")
        console.print(
            f"\ntotal {total} USD; gaps billed to nobody: {unbilled.hours:.2f} h on {unbilled.devices} devices"
        )
        return
    document = {"report": "gpu", "from": wanted.start, "to": wanted.end, "by": names, "rows": table.dicts(),
                "gap_hours": unbilled.hours, "gap_devices": unbilled.devices}  # fmt: skip
    write_table(table, document, file_format, output)


def _dimensions(text: str, known: Collection[str]) -> list[str]:
    names = list(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
    for name in names:
        if name not in known:
            raise CommandError(f"--by: {name!r} is no dimension; known: {', '.join(known)}", USAGE)
    return names
