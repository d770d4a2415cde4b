"""`spendstream reprice`: what the prices of now change about a period, and correcting it."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import UNAVAILABLE, USAGE, CommandError, errors
from spendstream.cli.output import print_json, print_table
from spendstream.cli.reaching import JsonOption, moment_option, reaching

if TYPE_CHECKING:
    from spendstream.operations.reprice import Repriced, Wanted

COLUMNS = ("model", "team", "status", "price", "events", "before USD", "after USD", "delta USD")


def reprice(
    since: Annotated[str, typer.Option("--from", help="First moment: 2026-03-01, an RFC 3339 time, or an age (30d).")],
    until: Annotated[str, typer.Option("--to", help="First moment after it, in the same forms.")],
    model: Annotated[str | None, typer.Option("--model", help="Only this one: provider/model.")] = None,
    org: Annotated[str | None, typer.Option("--org", help="Only this organisation.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Publish the corrections; else only show them.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait until corrections are taken in.")] = 300,
    as_json: JsonOption = False,
) -> None:
    """Rate the charges of a period again with the prices known now, and show what changes.

    With --apply every change becomes a correction: charges are never edited, and what was known at an earlier moment
    stays queryable (v_cost_as_known). Given twice, the second changes nothing; an interrupted one is finished by giving
    it again. Returns when every sum and view has the corrections.

    Example: spendstream reprice --from 2026-03-01 --to 2026-04-01 --model openai/gpt-5.4 --apply
    """
    from spendstream.operations.reprice import Wanted  # noqa: PLC0415

    provider, _, name = (model or "").partition("/")
    if model is not None and not (provider and name):
        raise CommandError(f"--model: {model!r} is not provider/model, for example openai/gpt-5.4", USAGE)
    wanted = Wanted(
        _micros("--from", since), _micros("--to", until), org, provider if model else None, name if model else None
    )
    if wanted.since >= wanted.until:
        raise CommandError(f"--from {since} is not before --to {until}", USAGE)
    with reaching():
        done = asyncio.run(_reprice(wanted, apply, timeout))
    if as_json:
        print_json(_report(done, apply))
    else:
        _print(done, apply)


def _micros(option: str, text: str) -> int:
    return (moment_option(option, text) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


async def _reprice(wanted: "Wanted", apply: bool, timeout: float) -> "Repriced":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from spendstream.control.publish import load_control  # noqa: PLC0415
    from spendstream.operations.reprice import NotQueryableError, Reports, Repricing  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as bar:
        task = bar.add_task("rating", total=None)
        reports = Reports(
            progress=lambda count, total: bar.update(task, completed=count, total=total, description="charges"),
            waiting=lambda what: bar.update(task, description=f"waiting for {what}"),
        )
        try:
            repricing = Repricing(settings, await load_control(settings), time.monotonic() + timeout, reports)
            return await repricing.run(wanted, apply)
        except NotQueryableError as error:
            hint = "What was published is safe: give the same command again to go on (--timeout waits longer)."
            raise CommandError(f"not within {timeout:g} s: {error}. {hint}", UNAVAILABLE) from error


def _report(done: "Repriced", apply: bool) -> dict[str, Any]:
    from spendstream.domain.money import usd_from_pico  # noqa: PLC0415

    events, before, delta = done.diff.summary.total
    return {
        "run_id": done.run_id,
        "applied": apply,
        "examined": done.diff.examined,
        "changed": events,
        "published": done.published,
        "without_charge": done.diff.gone,
        "before_usd": usd_from_pico(before),
        "after_usd": usd_from_pico(before + delta),
        "delta_usd": usd_from_pico(delta),
        "groups": [
            {
                **{name: value for name, value in group._asdict().items() if name not in ("before", "delta")},
                "before_usd": usd_from_pico(group.before),
                "after_usd": usd_from_pico(group.after),
                "delta_usd": usd_from_pico(group.delta),
            }
            for group in done.diff.summary.groups()
        ],
    }


def _print(done: "Repriced", apply: bool) -> None:
    from spendstream.domain.money import usd_from_pico  # noqa: PLC0415

    if done.diff.gone:
        kept = "charges are kept for 400 days after rating, and come some seconds after the sums"
        errors.print(f"{done.diff.gone} events of the period have no charge and stay as they are: {kept}", markup=False)
    events, before, delta = done.diff.summary.total
    rows = [
        (
            _where(group.org, f"{group.provider}/{group.model}"), group.team,
            _turned(group.status_before, group.status_after), _turned(group.price_id_before, group.price_id_after),
            group.events, *(usd_from_pico(pico) for pico in (group.before, group.after, group.delta)),
        )
        for group in done.diff.summary.groups()
    ]  # fmt: skip
    if not rows:
        print_table("", ["charges", ""], [(done.diff.examined, "nothing changes")])
        return
    total = ("all", "", "", "", events, *(usd_from_pico(pico) for pico in (before, before + delta, delta)))
    print_table("corrected" if apply else "would change", COLUMNS, [*rows, total])
    if not apply:
        errors.print("nothing was changed: --apply publishes the corrections", style="dim")


def _where(org: str, model: str) -> str:
    return model if org == "default" else f"{org}: {model}"


def _turned(before: str, after: str) -> str:
    return before if before == after else f"{before or '(none)'} → {after or '(none)'}"
