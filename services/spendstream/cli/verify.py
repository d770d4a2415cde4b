"""`spendstream verify`: what ClickHouse holds of a load, against the load's truth file."""

import time
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import CHECK_FAILED, USAGE, CommandError, errors
from spendstream.cli.output import print_json, print_table

if TYPE_CHECKING:
    from loadgen.truth import TruthFile
    from loadgen.verdict import Check, Found, Range

POLL_S = 0.5
SETTLE_S = 20.0  # roll-ups and dead letters follow the ledger; a difference that stays this long is one
OUTCOMES = ("priced", "partial", "unpriced", "duplicate", "rejected")
OURS = "startsWith(event_id, {prefix:String})"


def verify(
    truth: Annotated[Path, typer.Option("--truth", help="Truth file written by `spendstream load`.")],
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the ledger to catch up.")] = 120,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare ClickHouse with a truth file, to the last pico-dollar; exit code 1 on any difference.

    Example: spendstream verify --truth truth.json --wait 60
    """
    from loadgen.truth import TruthFile  # noqa: PLC0415
    from spendstream.runtime.clickhouse.client import connect  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    try:
        expected = TruthFile.load(truth)
    except (OSError, ValueError) as error:
        raise CommandError(str(error), USAGE) from error
    checks = verify_truth(expected, connect(Settings.load()), wait)
    failed = [check for check in checks if not check.ok]
    if as_json:
        print_json({"run_id": expected.run_id, "ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        rows = [(c.what, c.expected, c.found, "ok" if c.ok else "DIFFERENT") for c in checks]
        print_table(f"run {expected.run_id}", ["what", "expected", "found", ""], rows)
    if failed:
        raise CommandError(f"{len(failed)} of {len(checks)} checks failed", CHECK_FAILED)


def verify_truth(truth: "TruthFile", client: Any, wait_s: float) -> "list[Check]":
    """All checks of a truth file; waits at most `wait_s` for the ledger, then SETTLE_S for what follows it."""
    from loadgen.verdict import compare, ledger_behind  # noqa: PLC0415

    give_up = time.monotonic() + wait_s
    with errors.status("waiting for the ledger") as status:
        while (behind := ledger_behind(truth, ranges(client))) and time.monotonic() < give_up:
            status.update(f"waiting for the ledger: {behind} records to go")
            time.sleep(POLL_S)
        give_up = min(give_up, time.monotonic() + SETTLE_S)
        while True:
            status.update("comparing")
            checks = compare(truth, _found(truth, client))
            if all(check.ok for check in checks) or time.monotonic() > give_up:
                return checks
            time.sleep(POLL_S)


def _rows(client: Any, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = client.query(sql, parameters=parameters).result_rows
    return rows


def ranges(client: Any) -> "list[Range]":
    """Ranges of the newest incarnation of the topic."""
    from loadgen.verdict import Range  # noqa: PLC0415

    rows = _rows(
        client,
        f"select incarnation, partition, first, last, events, {', '.join(OUTCOMES)} from ledger_ranges final"
        " where incarnation = (select argMax(incarnation, written_at) from ledger_ranges)",
    )
    return [
        Range(incarnation, partition, first, last, events, dict(zip(OUTCOMES, outcomes, strict=True)))
        for incarnation, partition, first, last, events, *outcomes in rows
    ]


def _found(truth: "TruthFile", client: Any) -> "Found":
    from loadgen.pricing import BUCKETS  # noqa: PLC0415
    from loadgen.verdict import Found  # noqa: PLC0415

    prefix = truth.event_id_prefix
    names = [f"{bucket}_tokens" for bucket in BUCKETS]
    sums = ", ".join(f"sum({name})" for name in names)
    head = f"select count(), uniqExact(org, event_id), uniqExact(incarnation), {sums} from v_charges where {OURS}"
    [(rows, distinct, incarnations, *tokens)] = _rows(client, head, prefix=prefix)
    statuses = _rows(client, f"select status, count() from v_charges where {OURS} group by status", prefix=prefix)
    costs = _rows(
        client,
        "select team, concat(provider, '/', model), toString(toDate(ts)), sum(cost_usd) from v_charges"
        f" where {OURS} group by 1, 2, 3",
        prefix=prefix,
    )
    return Found(
        rows=rows,
        distinct=distinct,
        incarnations=incarnations,
        statuses=dict(statuses),
        tokens=dict(zip(names, tokens, strict=True)),
        cost_by_team_model_day={(team, model, day): _pico(cost) for team, model, day, cost in costs},
        dead_letters=_dead_letters(truth, client),
        ranges=ranges(client),
        facts=_by_team_and_day(client, "count()", "toDate(ts)", "v_charges"),
        roll_ups=_by_team_and_day(client, "sum(events)", "day", "v_cost_daily"),
    )


def _dead_letters(truth: "TruthFile", client: Any) -> list[tuple[int, int, int, str]]:
    """Dead letters of the offsets the run produced."""
    if not truth.positions:
        return []
    ours = " or ".join(
        f"(partition = {int(partition)} and offset between {int(at['first'])} and {int(at['last'])})"
        for partition, at in truth.positions.items()
    )
    return _rows(
        client,
        f"select partition, offset, item, reason from dead_letters final where topic = 'usage' and ({ours})"
        " and incarnation = (select argMax(incarnation, written_at) from ledger_ranges)",
    )


def _by_team_and_day(client: Any, events: str, day: str, source: str) -> dict[tuple[str, str], tuple[int, int]]:
    sql = f"select team, toString({day}) as d, sum(cost_usd), {events} from {source} group by team, d"
    return {(team, day): (_pico(cost), count) for team, day, cost, count in _rows(client, sql)}


def _pico(usd: Decimal) -> int:
    return int(usd.scaleb(12))
