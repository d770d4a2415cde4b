"""`spendstream reprice`: what the prices of now change about a period, and correcting it: usage, then GPUs."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import UNAVAILABLE, USAGE, CommandError, errors
from spendstream.cli.output import print_json, print_table, turned, where
from spendstream.cli.reaching import JsonOption, going_on, moment_option, reaching
from spendstream.cli.reprice_gpu import gpu_report, print_gpus

if TYPE_CHECKING:
    from spendstream.corrections.gpu.readings import Selection
    from spendstream.operations.reprice import Repriced, Wanted
    from spendstream.operations.reprice_gpu import GpuRepriced

SECTIONS = ("usage", "gpu")
COLUMNS = ("model", "team", "status", "price", "events", "before USD", "after USD", "delta USD")


def reprice(
    since: Annotated[str, typer.Option("--from", help="First moment: 2026-03-01, an RFC 3339 time, or an age (30d).")],
    until: Annotated[str, typer.Option("--to", help="First moment after it, in the same forms.")],
    only: Annotated[str | None, typer.Option("--only", help="usage | gpu; else both, a section each.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only usage of this one: provider/model.")] = None,
    gpu_model: Annotated[
        str | None, typer.Option("--gpu-model", help="Only readings of this GPU, named as in v_gpu_cost.")
    ] = None,
    org: Annotated[str | None, typer.Option("--org", help="Only this organisation.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Publish the corrections; else only show them.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait until corrections are taken in.")] = 300,
    as_json: JsonOption = False,
) -> None:
    """Rate charges and GPU readings of a period again with the prices known now, and show what changes.

    With --apply every change becomes a correction: nothing is ever edited, and what was known at an earlier moment
    stays queryable (v_cost_as_known, v_gpu_cost_as_known). Given twice, the second changes nothing; an interrupted one
    is finished by giving it again. Returns when every sum and view has the corrections.

    Example: spendstream reprice --from 2026-03-01 --to 2026-04-01 --model openai/gpt-5.4 --apply
    """
    from spendstream.corrections.gpu.readings import Selection  # noqa: PLC0415
    from spendstream.operations.reprice import Wanted  # noqa: PLC0415

    sections = _sections(only, model, gpu_model)
    provider, _, name = (model or "").partition("/")
    if model is not None and not (provider and name):
        raise CommandError(f"--model: {model!r} is not provider/model, for example openai/gpt-5.4", USAGE)
    wanted = Wanted(
        _micros("--from", since), _micros("--to", until), org, provider if model else None, name if model else None
    )
    if wanted.since >= wanted.until:
        raise CommandError(f"--from {since} is not before --to {until}", USAGE)
    readings = Selection(wanted.since, wanted.until, org, gpu_model)
    with going_on(), reaching():
        done, gpus = asyncio.run(
            _reprice(wanted if "usage" in sections else None, readings if "gpu" in sections else None, apply, timeout)
        )
    if as_json:
        usage_part = {"applied": apply} if done is None else _report(done, apply)
        print_json(usage_part if gpus is None else {**usage_part, "gpu": gpu_report(gpus)})
        return
    if done is not None:
        _print(done, apply)
    if gpus is not None:
        print_gpus(gpus, apply)
    changed = (done is not None and done.diff.summary.total[0]) or (gpus is not None and gpus.diff.summary.readings)
    if changed and not apply:
        errors.print("nothing was changed: --apply publishes the corrections", style="dim")


def _sections(only: str | None, model: str | None, gpu_model: str | None) -> tuple[str, ...]:
    """What is repriced: a model of one kind leaves out the other."""
    if only is not None and only not in SECTIONS:
        raise CommandError(f"--only: {only!r} is none of {', '.join(SECTIONS)}", USAGE)
    named = [section for section, name in zip(SECTIONS, (model, gpu_model), strict=True) if name is not None]
    if only is not None and named and named != [only]:
        raise CommandError("--model is about usage and --gpu-model about gpu: --only says otherwise", USAGE)
    return tuple(named) if named else SECTIONS if only is None else (only,)


def _micros(option: str, text: str) -> int:
    return (moment_option(option, text) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


async def _reprice(
    wanted: "Wanted | None", readings: "Selection | None", apply: bool, timeout: float
) -> "tuple[Repriced | None, GpuRepriced | None]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from spendstream.control.publish import load_control  # noqa: PLC0415
    from spendstream.operations.reprice import NotQueryableError, Reports, Repricing  # noqa: PLC0415
    from spendstream.operations.reprice_gpu import GpuRepricing  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as bar:
        task = bar.add_task("rating", total=None)
        reports = Reports(
            progress=lambda count, total: bar.update(task, completed=count, total=total, description="repricing"),
            waiting=lambda what: bar.update(task, description=f"waiting for {what}"),
        )
        try:
            given = (settings, await load_control(settings), time.monotonic() + timeout, reports)
            usage = None if wanted is None else await Repricing(*given).run(wanted, apply)
            return usage, None if readings is None else await GpuRepricing(*given).run(readings, apply)
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
            where(group.org, f"{group.provider}/{group.model}"), group.team,
            turned(group.status_before, group.status_after), turned(group.price_id_before, group.price_id_after),
            group.events, *(usd_from_pico(pico) for pico in (group.before, group.after, group.delta)),
        )
        for group in done.diff.summary.groups()
    ]  # fmt: skip
    if not rows:
        print_table("", ["charges", ""], [(done.diff.examined, "nothing changes")])
        return
    total = ("all", "", "", "", events, *(usd_from_pico(pico) for pico in (before, before + delta, delta)))
    print_table("corrected" if apply else "would change", COLUMNS, [*rows, total])
