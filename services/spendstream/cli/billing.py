"""`spendstream import billing`: bills onto the topic, once for ever."""

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import CHECK_FAILED, UNAVAILABLE, USAGE, CommandError, errors
from spendstream.cli.output import print_json, print_table
from spendstream.cli.reaching import JsonOption, going_on, reaching

if TYPE_CHECKING:
    from spendstream.operations.billing_import import Bill, How, ImportedBill, Withdrawal

SHOWN = 50
COUNTS = ("rows", "bad_rows", "new", "changed", "unchanged", "withdrawn")


def billing(
    files: Annotated[list[Path], typer.Argument(help="One or more FOCUS files, CSV (also .gz) or Parquet.")],
    org: Annotated[str, typer.Option("--org", help="Organisation the bill is for.")] = "default",
    provider: Annotated[str | None, typer.Option("--provider", help="Provider of lines that do not name one.")] = None,
    together: Annotated[
        bool, typer.Option("--together", help="The files are parts of one bill: alike rows are different lines.")
    ] = False,
    complete: Annotated[
        bool, typer.Option("--complete", help="The file is the whole bill: withdraw lines that it no longer has.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be new, changed, withdrawn.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once the lines are on the topic.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait until the lines are queryable.")] = 300,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress bar.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Import bills (FOCUS 1.0 to 1.4); returns when v_bill has their lines (at most --timeout seconds later).

    A file that was imported before changes nothing. A line that comes again with other content (same provider, billing
    period and line) replaces the earlier one; v_bill_history keeps both. Other currencies than dollars are converted
    with the FxRate document in force when the charge began. Bad rows are listed and left out, and make
    the exit code 1.

    A line that a corrected file no longer has stays, unless --complete says that each file is the whole bill of every
    provider, billing period and billing account in it (with --together: all files are). What is missing then is said,
    and withdrawn: it costs nothing any more. Where a row was bad, nothing is withdrawn.

    Example: spendstream import billing aws-2026-11.parquet openai-2026-11.csv
    """
    from spendstream.operations.billing_import import How  # noqa: PLC0415

    if complete and no_wait:
        raise CommandError("--complete compares with what is there, so it has to wait: leave out --no-wait", USAGE)
    how = How(together, complete, not no_wait, dry_run)
    bills = _bills(files, org, provider, how)
    with going_on(), reaching():
        imported = asyncio.run(_import(bills, how, timeout, no_progress))
    report = [_report(each) for each in imported]
    if as_json:
        print_json({"files": report})
    else:
        _print(report)
    if bad := sum(file["bad_rows"] for file in report):
        others = "nothing was sent" if dry_run else "all others are imported"
        withdrawal = ", and nothing is withdrawn" if complete else ""
        raise CommandError(
            f"left out (listed above): {bad} bad rows; {others}{withdrawal}; correct them in the file and import it"
            " again: what is unchanged is not counted twice",
            CHECK_FAILED,
        )


def _bills(files: list[Path], org: str, provider: str | None, how: "How") -> "list[Bill]":
    from spendstream.operations.billing_files import BillFile, UnreadableBillError  # noqa: PLC0415
    from spendstream.operations.billing_import import Bill, check  # noqa: PLC0415

    if not org or (provider is not None and not provider.strip()):
        raise CommandError("--org and --provider must not be empty; nothing was imported", USAGE)
    try:
        bills: dict[str, Bill] = {}
        for path in files:
            bill = Bill(BillFile(path), org, provider)
            bills.setdefault(bill.identity, bill)
        check(list(bills.values()), how)
    except UnreadableBillError as error:
        raise CommandError(f"{error}; nothing was imported", USAGE) from error
    return list(bills.values())


async def _import(bills: "list[Bill]", how: "How", timeout: float, no_progress: bool) -> "list[ImportedBill]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from spendstream.control.publish import load_control  # noqa: PLC0415
    from spendstream.operations.billing_import import BillingImport, NotQueryableError  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.operations.usage_import import Reports, deadline_in  # noqa: PLC0415
    from spendstream.rating import exchange_rates  # noqa: PLC0415
    from spendstream.runtime.kafka.publisher import Publisher  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    store, publisher = Store(settings), Publisher(settings)
    orgs = {bill.org for bill in bills}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=no_progress or not errors.is_terminal) as bar:
        task = bar.add_task("importing", total=sum(bill.file.row_count for bill in bills))
        reports = Reports(
            rows=lambda count: bar.update(task, advance=count),
            waiting=lambda what: bar.update(task, description=f"waiting for {what}"),
        )
        try:
            await publisher.start()
            control = await load_control(settings)
            rates = {org: exchange_rates(d for d in control.documents("FxRate") if d.org == org) for org in orgs}
            say = partial(_say, "would withdraw" if how.dry_run else "withdrawing")
            imports = BillingImport(settings, store, publisher, rates, deadline_in(timeout), reports, say)
            return await imports.send(bills, how)
        except NotQueryableError as error:
            hint = "What was sent is safe: give the same command again to go on (--timeout waits longer)."
            raise CommandError(f"not queryable within {timeout:g} s: {error}. {hint}", UNAVAILABLE) from error
        finally:
            await publisher.stop()


def _say(what: str, withdrawal: "Withdrawal") -> None:
    lines, usd = len(withdrawal.lines), f"{withdrawal.billed_usd:f}"
    errors.print(f"{what} {lines} lines, {usd} USD billed, of {withdrawal.scope}: not in the file", markup=False)


def _report(imported: "ImportedBill") -> dict[str, Any]:
    return {
        "file": str(imported.bill.file.path),
        "digest": imported.bill.file.digest,
        "already_imported_at": imported.known.updated_at if imported.known and imported.was_done else None,
        **{name: getattr(imported, name) for name in COUNTS},
        "withdrawn_usd": imported.withdrawn_usd,
        "warnings": imported.warnings,
        "noted": [{"line": line, "column": each.column, "problem": each.problem} for line, each in imported.noted],
        "bad": [{"line": bad.line, "column": bad.column, "problem": bad.problem} for bad in imported.bad],
    }


def _print(report: list[dict[str, Any]]) -> None:
    for file in report:
        for cells in (file["bad"], file["noted"]):
            for each in cells[:SHOWN]:
                errors.print(f"{file['file']}:{each['line']}: {each['column']}: {each['problem']}", markup=False)
            if len(cells) > SHOWN:
                errors.print(f"{file['file']}: and {len(cells) - SHOWN} more (--json lists them)", markup=False)
        for warning in file["warnings"]:
            errors.print(f"{file['file']}: {warning}", markup=False)
        if file["already_imported_at"] and not (file["new"] or file["changed"] or file["withdrawn"]):
            at = file["already_imported_at"].strftime("%Y-%m-%d %H:%M:%S")
            errors.print(f"{file['file']}: was imported before, at {at} UTC: nothing was sent again", markup=False)
    print_table("", ["file", *COUNTS], [[file["file"], *(file[name] for name in COUNTS)] for file in report])
