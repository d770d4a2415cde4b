"""`spendstream dead-letters show|replay`."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from spendstream.cli.failures import errors
from spendstream.cli.output import print_json, print_table
from spendstream.cli.reaching import JsonOption, reaching, since_option

if TYPE_CHECKING:
    from spendstream.operations.dead_letters import Letter
    from spendstream.operations.store import Store
    from spendstream.runtime.settings import Settings

dead_letters_app = typer.Typer(
    help="Records that were rejected, and what can be done about them.", no_args_is_help=True
)

Reason = Annotated[str | None, typer.Option("--reason", help="Only this reason code, for example clock.")]
Topic = Annotated[str, typer.Option("--topic", help="Topic they came from.")]
Since = Annotated[str | None, typer.Option("--since", help="Rejected since: an age (2h, 7d) or an RFC 3339 time.")]


@dead_letters_app.command("show")
def show(
    reason: Reason = None,
    topic: Topic = "usage",
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 50,
    replayed: Annotated[bool, typer.Option("--all", help="Also those that were replayed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest first; --all includes those that were replayed.

    Example: spendstream dead-letters show --reason clock --since 2h
    """
    from spendstream.operations import dead_letters  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    wanted = dead_letters.Filter(topic, reason, since_option(since), replayed)
    with reaching():
        store = Store(Settings.load())
        letters = dead_letters.find(store, wanted, limit)
        total = dead_letters.count(store, wanted)
        reasons = [] if letters else dead_letters.reasons(store, topic)
    if as_json:
        print_json([{**vars(letter), "origin": letter.origin} for letter in letters])
        return
    rows = [
        (f"{letter.rejected_at:%Y-%m-%d %H:%M:%S}", letter.reason, letter.detail, letter.origin, letter.event_id)
        for letter in letters
    ]
    print_table("", ["when (UTC)", "reason", "detail", "origin", "event id"], rows)
    if not letters:
        errors.print(_nothing(topic, reasons), style="dim", markup=False)
    if total > len(letters):
        errors.print(f"the newest {len(letters)} of {total}; --limit shows more", style="dim")


def _nothing(topic: str, reasons: list[str]) -> str:
    if not reasons:
        return f"nothing of {topic} was ever rejected"
    return f"no such letter; {topic} has or had some for these reasons: {', '.join(reasons)}"


@dead_letters_app.command("replay")
def replay(
    reason: Reason = None,
    topic: Topic = "usage",
    since: Since = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be replayed and publish nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish rejected records again, as they were, after what was wrong has been put right. Each letter only once.

    A record that is refused again becomes a new letter. Conflicts are never replayed: the first event of an id counts.

    Example: spendstream dead-letters replay --reason unknown_schema --since 7d --dry-run
    """
    from spendstream.operations import dead_letters  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    wanted = dead_letters.Filter(topic, reason, since_option(since))
    with reaching():
        settings = Settings.load()
        store = Store(settings)
        letters = dead_letters.find(store, wanted)
        if not dry_run:
            asyncio.run(_replay(settings, store, letters))
    done = "would be replayed" if dry_run else "replayed"
    counts = Counter((letter.reason, letter.obstacle) for letter in letters)
    if as_json:
        entries = [
            {"reason": why, "letters": count, "replayed": not (obstacle or dry_run), "obstacle": obstacle}
            for (why, obstacle), count in sorted(counts.items(), key=str)
        ]
        print_json({"dry_run": dry_run, "letters": entries})
        return
    rows = [
        (why, count, f"left: {obstacle}" if obstacle else done)
        for (why, obstacle), count in sorted(counts.items(), key=str)
    ]
    print_table("", ["reason", "letters", ""], rows or [("none", 0, "nothing to replay")])


async def _replay(settings: "Settings", store: "Store", letters: "list[Letter]") -> None:
    from spendstream.operations import dead_letters  # noqa: PLC0415
    from spendstream.runtime.kafka.publisher import Publisher  # noqa: PLC0415

    if all(letter.obstacle for letter in letters):
        return
    publisher = Publisher(settings)
    try:
        await publisher.start()
        await dead_letters.replay(store, publisher, letters)
    finally:
        await publisher.stop()
