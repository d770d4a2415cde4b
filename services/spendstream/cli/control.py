"""`spendstream apply` and `spendstream delete`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import CHECK_FAILED, USAGE, CommandError, errors
from spendstream.cli.output import print_json, print_table

if TYPE_CHECKING:
    from spendstream.control.files import Source

COLUMNS = ("document", "org", "effective_from", "state", "revision")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def apply(
    files: Annotated[list[Path], typer.Option("-f", "--file", help="YAML file; may be given several times.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change and publish nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Accept price changes beyond the sanity bound.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the services.")] = False,
    as_json: Json = False,
) -> None:
    """Declare budgets, prices, owners, rules, policies and routes. Nothing is published when anything is wrong.

    Example: spendstream apply -f examples/prices.yaml -f examples/budgets.yaml --dry-run
    """
    asyncio.run(_apply(read_documents(files), dry_run, force, no_wait, as_json))


def read_documents(files: Sequence[Path]) -> "list[Source]":
    """The documents of some files; when anything is wrong, every problem is printed and the command ends."""
    from spendstream.control.files import read_file  # noqa: PLC0415
    from spendstream.control.publish import validate  # noqa: PLC0415

    read = [read_file(path) for path in files]
    sources = [source for found, _ in read for source in found]
    problems = [problem for _, found in read for problem in found] + validate(sources)
    if problems:
        _refuse(problems)
    return sources


def _refuse(problems: Sequence[object]) -> None:
    for problem in problems:
        errors.print(str(problem), markup=False)
    count = len(problems)
    raise CommandError(f"{count} problem{'s' * (count != 1)}; nothing was published", USAGE)


async def _apply(sources: "Sequence[Source]", dry_run: bool, force: bool, no_wait: bool, as_json: bool) -> None:
    from spendstream.control import checks, publish  # noqa: PLC0415
    from spendstream.runtime.kafka.publisher import Publisher  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    changes = publish.plan_changes(sources, await publish.load_control(settings))
    if not force and (doubts := publish.suspicious(changes)):
        _refuse(doubts)
    for change in changes:
        before = change.before.spec if change.before else None
        for path, message in checks.warnings(change.source.kind, change.source.spec, before):
            errors.print(f"warning: {change.source.problem(path, message)}", markup=False)
    rows = [_row(change.source, change.action, change.revision) for change in changes]
    if not as_json:
        columns = [name for name in COLUMNS if any(name in row for row in rows)]
        print_table("would change" if dry_run else "", columns, [[row.get(name) for name in columns] for row in rows])
    offset = 0
    held: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    if not dry_run:
        publisher = Publisher(settings)
        await publisher.start()
        try:
            offset = await publish.publish(publisher, changes)
        finally:
            await publisher.stop()
        if offset and not no_wait:
            acks = await publish.await_services(settings, offset)
            held, missing = tuple(acks.held), tuple(acks.missing)
    if as_json:
        print_json({"documents": rows, "control_offset": offset, "held_by": held, "not_held_by": missing})
    elif offset and not no_wait:
        errors.print(f"in force in {len(held)} running service instance{'s' * (len(held) != 1)}", style="dim")
    if missing:
        raise CommandError(f"published, but not yet acknowledged by {', '.join(missing)}", CHECK_FAILED)


def _row(source: "Source", action: str, revision: int) -> dict[str, Any]:
    """What is said of one document; two versions of a price differ by when they begin."""
    dated = source.kind == "Price" or "effective_from" in source.spec
    start = {"effective_from": source.spec.get("effective_from") or "always"} if dated else {}
    org = {} if source.org == "default" else {"org": source.org}
    return {"document": f"{source.kind}/{source.name}", **org, **start, "state": action, "revision": revision}


def delete(
    names: Annotated[list[str], typer.Argument(help="kind/name, for example Budget/search-month")],
    org: Annotated[str, typer.Option(help="Organisation the documents belong to.")] = "default",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the services.")] = False,
) -> None:
    """Remove documents; what they did stays in history.

    Example: spendstream delete Budget/search-month
    """
    asyncio.run(_delete(names, org, no_wait))


async def _delete(names: list[str], org: str, no_wait: bool) -> None:
    from spendstream.control import publish  # noqa: PLC0415
    from spendstream.runtime.kafka.publisher import Publisher  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    log = await publish.load_control(settings)
    keys: list[str] = []
    for name in names:
        matching = publish.keys_of(name, org, log)
        if not matching:
            meant = publish.similar(name, org, log)
            hint = f" did you mean {' or '.join(meant)}?" if meant else ""
            raise CommandError(f"there is no {name}; nothing was deleted.{hint}", USAGE)
        keys += matching
    publisher = Publisher(settings)
    await publisher.start()
    try:
        offset = await publish.delete(publisher, keys)
    finally:
        await publisher.stop()
    print_table("", ["deleted"], [(name,) for name in names])
    if not no_wait:
        acks = await publish.await_services(settings, offset)
        if acks.missing:
            raise CommandError(f"deleted, but not yet acknowledged by {', '.join(acks.missing)}", CHECK_FAILED)
