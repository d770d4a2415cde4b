"""`spendstream import gpu`: recorded GPU readings onto the topic."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import CHECK_FAILED, UNAVAILABLE, USAGE, CommandError, errors
from spendstream.cli.gpu_sources import GpuFile, at_option, dcgm_files, interval_option, table_files
from spendstream.cli.output import print_json, print_table
from spendstream.cli.reaching import JsonOption, going_on, reaching

if TYPE_CHECKING:
    from spendstream.operations.gpu_import import Outcome

SHOWN = 50


def gpu(
    files: Annotated[list[Path], typer.Argument(help="One or more files, scrapes in the order they were taken.")],
    file_format: Annotated[str, typer.Option("--format", help="dcgm | csv")] = "csv",
    at: Annotated[str | None, typer.Option("--at", help="dcgm: when the first scrape was taken.")] = None,
    interval: Annotated[str, typer.Option("--interval", help="dcgm: time between scrapes.")] = "30s",
    time_slices: Annotated[
        int | None, typer.Option("--time-slices", min=1, help="dcgm: shares a time-sliced device hands out.")
    ] = None,
    org: Annotated[str, typer.Option("--org", help="Organisation of readings that name none.")] = "default",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once the readings are on the topic.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait until they are queryable.")] = 300,
    as_json: JsonOption = False,
) -> None:
    """Import GPU readings; importing them twice changes nothing (a device has one reading at a moment).

    dcgm: what a DCGM exporter answers, one or many scrapes a file. Timestamps in the text count; without them the first
    scrape of a device was taken at --at (else when its file was last written) and each later one --interval after it.
    csv: columns named as the fields of GpuSample and GpuProcess, a row per process. Apply the Price documents first.

    Example: spendstream import gpu scrape.txt --format dcgm --at 2026-07-01T12:00:00Z --interval 30s
    """
    if file_format not in ("dcgm", "csv"):
        raise CommandError(f"--format: {file_format!r} is none of dcgm, csv", USAGE)
    if file_format == "dcgm":
        sources = dcgm_files(files, at_option(at), interval_option(interval), org, time_slices)
    else:
        sources = table_files(files, org)
    with going_on(), reaching():
        done = asyncio.run(_import(sources, timeout, no_wait))
    rejected = [] if done is None else done.rejected
    bad = [{"file": each.file, "line": line.line, "problem": line.problem} for each in sources for line in each.bad]
    report: dict[str, Any] = {
        "files": len(sources),
        "readings": sum(each.readings for each in sources),
        "bad_lines": len(bad),
        **({} if done is None else _counts(done)),
    }
    if as_json:
        print_json({**report, "bad": bad, "rejections": [dict(zip(REJECTION, each, strict=True)) for each in rejected]})
    else:
        wrong = [f"{each['file']}:{each['line']}: {each['problem']}" for each in bad]
        wrong += [f"{reading}: rejected as {reason}: {detail}" for reading, reason, detail in rejected]
        for text in wrong[:SHOWN]:
            errors.print(text, markup=False)
        if len(wrong) > SHOWN:
            errors.print(f"and {len(wrong) - SHOWN} more (--json lists them)", markup=False)
        print_table("", list(report), [list(report.values())])
    if bad or rejected:
        raise CommandError(f"left out: {len(bad)} lines, {len(rejected)} readings; all others count", CHECK_FAILED)


REJECTION = ("reading", "reason", "detail")


def _counts(done: "Outcome") -> dict[str, int]:
    return {"counted": done.counted, "already_there": done.already_there, "rejected": len(done.rejected)}


async def _import(sources: list[GpuFile], timeout: float, no_wait: bool) -> "Outcome | None":
    from rich.progress import Progress  # noqa: PLC0415

    from spendstream.operations.arrival import NotQueryableError  # noqa: PLC0415
    from spendstream.operations.gpu_import import outcome, send, until_read  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.operations.usage_import import deadline_in  # noqa: PLC0415
    from spendstream.runtime.kafka.publisher import Publisher  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    publisher = Publisher(settings)
    store = None if no_wait else Store(settings)
    records = (record for source in sources for record in source.records())
    with Progress(console=errors, disable=not errors.is_terminal) as bar:
        task = bar.add_task("sending", total=None)
        try:
            await publisher.start()
            sent = await send(publisher, records, lambda count: bar.update(task, advance=count))
            if store is None:
                return None
            bar.update(task, description="waiting for attribution")
            deadline = deadline_in(timeout)
            await until_read(settings, sent, deadline)
            return await outcome(store, sent, deadline)
        except NotQueryableError as error:
            hint = (
                "The readings that were sent are safe: give the same command again to go on (--timeout waits longer)."
            )
            raise CommandError(f"not queryable within {timeout:g} s: {error}. {hint}", UNAVAILABLE) from error
        finally:
            await publisher.stop()
