"""`spendstream reallocate`."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import CHECK_FAILED, USAGE, CommandError, errors
from spendstream.cli.output import print_json, print_table
from spendstream.cli.reaching import JsonOption, going_on, reaching

if TYPE_CHECKING:
    from spendstream.operations.allocation_ledger import Month
    from spendstream.operations.reallocation import Reallocation

SHOWN = 40
EXPIRED = (
    "charges are kept for {days} days after they were rated: those of this month may have begun to expire, and a new"
    " version would take their cost back. Look at the difference without --apply; --force writes it"
)
KINDS = ("direct", "allocated", "idle", "unallocated")
WHY = ("source", "category", "rule", "reason")


def reallocate(
    period: Annotated[str, typer.Option("--period", help="A calendar month, UTC: 2026-11.")],
    apply: Annotated[bool, typer.Option("--apply", help="Write the new version.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also where charges of the month may have expired.")] = False,
    org: Annotated[str | None, typer.Option("--org", help="Only this organisation.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Share out a month's cost by the AttributionRule documents in force, and show what that moves from whom to whom.

    Nothing is written without --apply. With it the difference to the newest version becomes the next one; given again
    it changes nothing. Late usage, corrections and changed rules show up in the next run.

    Example: spendstream reallocate --period 2026-11 --apply
    """
    month = _month(period)
    with going_on(), reaching():
        made = asyncio.run(_reallocate(month, apply, force, org))
    report = [_report(each, apply) for each in made]
    if as_json:
        print_json({"period": period, "applied": apply, "allocations": report})
    else:
        for each in report:
            _print(each, period, apply)
    if not report:
        errors.print(f"no organisation has cost in {period}", style="dim")


def _month(period: str) -> "Month":
    from spendstream.operations.allocation_ledger import Month  # noqa: PLC0415

    try:
        return Month.parse(period)
    except ValueError as error:
        raise CommandError(f"--period: {period!r} is not a month such as 2026-11", USAGE) from error


async def _reallocate(month: "Month", apply: bool, force: bool, org: str | None) -> "Sequence[Reallocation]":
    from spendstream.control.publish import load_control  # noqa: PLC0415
    from spendstream.operations import reallocation  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    store = Store(settings)
    control = await load_control(settings)
    try:
        made = reallocation.compute(store, control.documents("AttributionRule"), control.offset, month, org)
        now = datetime.now(UTC)
        if apply and not force and any(each.may_forget(now) for each in made):
            raise CommandError(EXPIRED.format(days=reallocation.CHARGES_KEPT.days), CHECK_FAILED)
        for each in made if apply else ():
            await reallocation.write(settings, store, each, now)
    except reallocation.UnusableRuleError as error:
        raise CommandError(f"{error}; apply it again, corrected", CHECK_FAILED) from error
    except reallocation.OvertakenError as error:
        raise CommandError(f"{error}; give the command again", CHECK_FAILED) from error
    return made


def _report(made: "Reallocation", apply: bool) -> dict[str, Any]:
    from spendstream.domain.money import usd_from_pico  # noqa: PLC0415

    by_kind: dict[str, dict[str, int]] = {}
    reasons: dict[tuple[str, ...], int] = {}
    for placement, pico_usd in made.amounts.items():
        origin = placement.origin
        kinds = by_kind.setdefault(origin.source, dict.fromkeys(KINDS, 0))
        kinds[placement.kind] += pico_usd
        if placement.kind == "unallocated":
            why = (origin.source, origin.category, placement.rule, placement.reason)
            reasons[why] = reasons.get(why, 0) + pico_usd
    return {
        "org": made.org,
        "version": made.version or None,
        "base_version": made.base or None,
        "digest": made.digest,
        "is_new": made.is_new,
        "written": made.is_new and apply,
        "rules": [rule.name for rule in made.rules],
        "sources": [
            {"source": source, "cost_usd": usd_from_pico(sum(kinds.values())),
             **{f"{kind}_usd": usd_from_pico(pico_usd) for kind, pico_usd in kinds.items()}}
            for source, kinds in sorted(by_kind.items())
        ],
        "unallocated": [
            {**dict(zip(WHY, why, strict=True)), "cost_usd": usd_from_pico(pico_usd)}
            for why, pico_usd in sorted(reasons.items())
        ],
        "new_cost_usd": usd_from_pico(made.source_change_pico_usd),
        "moves": [
            {"source": move.source, "category": move.category, "from": move.from_bucket, "to": move.to_bucket,
             "cost_usd": usd_from_pico(move.pico_usd)}
            for move in made.moves
        ],
        "total_usd": usd_from_pico(sum(made.amounts.values()) - sum(made.shown.values())),
    }  # fmt: skip


def _print(report: dict[str, Any], period: str, apply: bool) -> None:
    rows = [(row["source"], row["cost_usd"], *(row[f"{kind}_usd"] for kind in KINDS)) for row in report["sources"]]
    print_table(f"{period}, organisation {report['org']}", ("source", "cost USD", *KINDS), rows)
    for title, name, columns in (
        ("what is unallocated", "unallocated", WHY),
        ("what moves", "moves", ("source", "category", "from", "to")),
    ):
        found = [(*(row[column] for column in columns), row["cost_usd"]) for row in report[name]]
        if found:
            found.sort(key=lambda row: -abs(row[-1]))
            print_table(title, (*columns, "USD"), found[:SHOWN])
        if len(found) > SHOWN:
            errors.print(f"and {len(found) - SHOWN} smaller ones (--json lists them)", style="dim")
    errors.print(_verdict(report, apply), markup=False)


def _verdict(report: dict[str, Any], apply: bool) -> str:
    version, base = report["version"], report["base_version"]
    if not report["is_new"]:
        return f"version {version} is up to date: nothing to write" if version else "there is no cost: nothing to write"
    since = f" since version {base}" if base else ""
    what = f"new cost{since} {report['new_cost_usd']:f} USD, moves add up to {report['total_usd']:f} USD"
    if apply:
        return f"version {version} was written: {what}"
    return f"version {version} would be written: {what}; --apply writes it"
