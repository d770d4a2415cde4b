"""`spendstream import`: files onto the topics, once for ever."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import CHECK_FAILED, UNAVAILABLE, CommandError, errors
from spendstream.cli.output import print_json, print_table
from spendstream.cli.reaching import JsonOption, going_on, reaching
from spendstream.cli.usage_sources import usage_sources

if TYPE_CHECKING:
    from spendstream.operations.import_source import Source
    from spendstream.operations.usage_import import Imported

import_app = typer.Typer(help="Files onto the topics; importing a file twice changes nothing.", no_args_is_help=True)

SHOWN = 50
FORMAT_NAMES = (
    "csv", "azure-llm", "burstgpt", "mooncake", "servegen", "openai-usage", "anthropic-usage", "litellm", "langfuse",
    "helicone",
)  # fmt: skip
OUTCOMES = ("priced", "partial", "unpriced", "duplicate", "rejected")


@import_app.command("usage")
def usage(
    files: Annotated[list[Path], typer.Argument(help="One or more files.")],
    file_format: Annotated[
        str,
        typer.Option("--format", help=" | ".join(FORMAT_NAMES)),
    ] = "csv",
    mapping: Annotated[Path | None, typer.Option("--map", help="World file that owns the rows of a trace.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once the rows are on the topic.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait until the rows are queryable.")] = 300,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress bar.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Import usage; returns when its rows can be asked for (at most --timeout seconds later).

    A csv has a header of Usage field names (see examples/usage.csv); a row without event_id gets one from the file's
    content and its line. The other formats are what these tools export as JSON, JSON Lines or CSV: openai-usage and
    anthropic-usage take usage reports, dashboard CSVs and batch outputs alike. Bad rows are listed and left out, and
    make the exit code 1. Apply the Price documents first: rows without a price count as unpriced.

    Example: spendstream import usage march.csv april.csv --format csv --timeout 60
    """
    with going_on(), reaching():
        sources = usage_sources(files, file_format, mapping)
        imported = asyncio.run(_import(sources, timeout, no_wait, no_progress))
        report = [_report(each) for each in imported]
    if as_json:
        print_json({"files": report})
    else:
        _print(report, no_wait)
    _judge(report)


async def _import(sources: "list[Source]", timeout: float, no_wait: bool, no_progress: bool) -> "list[Imported]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from spendstream.operations.arrival import NotQueryableError  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.operations.usage_import import Reports, UsageImport, deadline_in  # noqa: PLC0415
    from spendstream.runtime.kafka.publisher import Publisher  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    store, publisher = Store(settings), Publisher(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=no_progress or not errors.is_terminal) as bar:
        task = bar.add_task("importing", total=sum(_lines(source.file) for source in sources))
        reports = Reports(
            rows=lambda count: bar.update(task, advance=count),
            waiting=lambda what: bar.update(task, description=f"waiting for {what}"),
        )
        try:
            await publisher.start()
            imports = UsageImport(settings, store, publisher, deadline_in(timeout), reports)
            done = [await imports.send(source) for source in sources]
            for each in [] if no_wait else done:
                await imports.settle(each)
        except NotQueryableError as error:
            hint = "The rows that were sent are safe: give the same command again to go on (--timeout waits longer)."
            raise CommandError(f"not queryable within {timeout:g} s: {error}. {hint}", UNAVAILABLE) from error
        finally:
            await publisher.stop()
    return done


def _lines(file: str) -> int:
    """Lines below the header, roughly: a quoted line break counts as one."""
    with Path(file).open("rb") as lines:
        return max(0, sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b"")) - 1)


def _report(imported: "Imported") -> dict[str, Any]:
    from spendstream.operations.import_ledger import Step  # noqa: PLC0415
    from spendstream.operations.import_source import lines_of  # noqa: PLC0415

    known = imported.known
    letters = imported.letters
    lines = lines_of(imported.source, [letter.event_id for letter in letters]) if letters else []
    return {
        "file": imported.source.file,
        "digest": imported.source.digest,
        "already_imported_at": known.updated_at if known and imported.step in (Step.NOTHING, Step.WAIT) else None,
        "rows": imported.rows,
        "bad_rows": imported.bad_rows,
        "sent": imported.sent,
        "already_there": imported.already_there,
        **imported.outcomes,
        "bad": [{"line": bad.line, "column": bad.column, "problem": bad.problem} for bad in imported.bad],
        "token_mismatches": [{"line": line, "problem": problem} for line, problem in imported.mismatches],
        "rejections": [
            {"line": line, "event_id": letter.event_id, "reason": letter.reason, "detail": letter.detail}
            for line, letter in zip(lines, letters, strict=True)
        ],
    }  # fmt: skip


def _print(report: list[dict[str, Any]], no_wait: bool) -> None:
    for file in report:
        wrong = [f"{file['file']}:{bad['line']}: {bad['column']}: {bad['problem']}" for bad in file["bad"]]
        wrong += [
            f"{file['file']}:{rejected['line']}: rejected as {rejected['reason']}: {rejected['detail']}"
            for rejected in file["rejections"]
        ]
        if file["token_mismatches"]:
            first = file["token_mismatches"][0]
            count = len(file["token_mismatches"])
            text = (
                f"{file['file']}:{first['line']}: token_mismatch: {first['problem']} (imported as it is; {count} such)"
            )
            errors.print(text, markup=False)
        for text in wrong[:SHOWN]:
            errors.print(text, markup=False)
        if len(wrong) > SHOWN:
            errors.print(f"{file['file']}: and {len(wrong) - SHOWN} more (--json lists them)", markup=False)
        if file["already_imported_at"]:
            at = file["already_imported_at"].strftime("%Y-%m-%d %H:%M:%S")
            errors.print(f"{file['file']}: was imported before, at {at} UTC: nothing was sent again", markup=False)
        if file.get("unpriced"):
            hint = "ask v_unpriced which models, then apply Price documents"
            errors.print(f"{file['file']}: rows without a price: {file['unpriced']}; {hint}", markup=False)
    names = ["rows", "bad_rows", "sent", "already_there", *(() if no_wait else OUTCOMES)]
    print_table("", ["file", *names], [[file["file"], *(file.get(name, 0) for name in names)] for file in report])


def _judge(report: list[dict[str, Any]]) -> None:
    bad = sum(file["bad_rows"] for file in report)
    rejected = sum(file.get("rejected", 0) for file in report)
    if bad or rejected:
        raise CommandError(
            f"left out (listed above): {bad} bad and {rejected} rejected of the rows; all others are imported; "
            "put the corrected rows alone, below the header, into a new file and import that",
            CHECK_FAILED,
        )
