"""What the demo shows: every number is read back from ClickHouse or the topics."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.rule import Rule

from spendstream.cli.output import console, print_table
from spendstream.cli.verify import verify_truth

if TYPE_CHECKING:
    from loadgen.truth import TruthFile
    from loadgen.verdict import Check
    from spendstream.runtime.settings import Settings

PROBES = 8
#: What goes wrong in the demo, and for whom.
PLANTED = {"search-overspend": "search", "copilot-spike": "coding"}
SECTIONS = (
    (
        "Spend by team, last 24 hours",
        "select team, sum(requests) as requests, sum(input_tokens) as input_tokens,"
        " sum(output_tokens) as output_tokens,"
        " toDecimal64(roundBankers(sum(cost_usd), 6), 6) as usd"
        " from v_cost where ts > now() - interval 1 day and team not like 'probe-%' group by team order by usd desc",
    ),
    (
        "Spend by model, last 24 hours",
        "select concat(provider, '/', model) as model, sum(requests) as requests,"
        " toDecimal64(roundBankers(sum(cost_usd), 6), 6) as usd,"
        " countIf(status != 'priced') as not_priced from v_cost where ts > now() - interval 1 day"
        " and team not like 'probe-%' group by model order by usd desc",
    ),
    (
        "Budgets",
        "select budget, toDecimal64(roundBankers(spent_usd, 2), 2) as spent,"
        " toDecimal64(roundBankers(amount_usd, 2), 2) as amount,"
        " concat(toString(round(share * 100)), ' %') as used, state, severity from budget_status final"
        " where budget not like 'probe-%' and window_end > now() order by updated_at desc, budget limit 1 by budget",
    ),
    (
        "Budget alerts",
        "select severity, state, title from v_alerts where kind = 'budget' and name not like 'probe-%'"
        " order by emitted_at limit 12",
    ),
    (
        "Anomalies and governance",
        "select severity, state, if(kind = 'anomaly', name, kind) as what, title from v_alerts where kind != 'budget'"
        " and (state = 'firing' or updated_at > now() - interval 70 minute) order by at_stake_usd desc limit 12",
    ),
    (
        "Recommendations",
        "select kind, toDecimal64(roundBankers(monthly_saving_usd, 2), 2) as usd_a_month, confidence, title"
        " from v_savings where state = 'open' order by monthly_saving_usd desc limit 8",
    ),
)


def wait_for(truth: "TruthFile", client: Any) -> None:
    """Return once the ledger holds a run."""
    from loadgen.verdict import ledger_behind  # noqa: PLC0415
    from spendstream.cli.verify import ranges  # noqa: PLC0415

    give_up = time.monotonic() + 120
    while ledger_behind(truth, ranges(client)) and time.monotonic() < give_up:
        time.sleep(0.3)


def check(truth: "TruthFile", client: Any) -> "list[Check]":
    """The run against its truth."""
    return verify_truth(truth, client, 120)


def wait_for_advice(client: Any) -> None:
    """Return once recommendations have been made and no more are coming."""
    give_up, seen = time.monotonic() + 20, (0, 0)
    while time.monotonic() < give_up:
        found = client.query("select count(), uniqExact(kind) from v_savings").result_rows[0]
        if found == seen and found[1] > 1:
            return
        seen = found
        time.sleep(3.5)


def planted_and_found(client: Any) -> dict[str, bool]:
    """Whether what was planted (examples/demo/incidents.yaml) was found; that may take a moment."""
    give_up = time.monotonic() + 30
    while True:
        teams = {
            str(team)
            for (team,) in client.query(
                "select distinct scope['team'] from v_alerts where kind = 'anomaly'"
                " and started_at > now() - interval 3 hour"
            ).result_rows
        }
        found = {incident: team in teams for incident, team in PLANTED.items()}
        if all(found.values()) or time.monotonic() > give_up:
            return found
        time.sleep(1)


def print_all(client: Any, trace: "TruthFile", live_since: float, alert_latency: Sequence[float]) -> None:
    """Everything the services have to say."""
    for title, sql in SECTIONS:
        console.print(Rule(title, align="left"))
        result = client.query(sql)
        print_table("", result.column_names, result.result_rows or [("nothing",) * len(result.column_names)])
    console.print(Rule("Latency", align="left"))
    (p50, p99), events = client.query(
        "select quantiles(0.5, 0.99)((toUnixTimestamp64Micro(rated_at) - toUnixTimestamp64Milli(appended_at) * 1000)"
        " / 1e6), count() from charges where appended_at > fromUnixTimestamp64Milli({since:Int64})",
        parameters={"since": int(live_since * 1000)},
    ).result_rows[0]
    waits = sorted(alert_latency)
    rows = [
        ("event → queryable in ClickHouse", f"{p50:.2f} s", f"{p99:.2f} s", events),
        ("event → alert on the topic", f"{waits[len(waits) // 2]:.2f} s", f"{waits[-1]:.2f} s (worst)", len(waits)),
    ]
    print_table("", ["what", "p50", "p99", "measured on"], rows)


def print_reconciliation(client: Any, checks: "Sequence[Check]") -> bool:
    """The conservation law and the comparison with the truth files; True when everything agrees."""
    console.print(Rule("Reconciliation", align="left"))
    law = client.query("select * from v_conservation")
    print_table("", law.column_names, law.result_rows)
    console.print("in = priced + partial + unpriced + duplicate + rejected")
    wrong = [found for found in checks if not found.ok]
    money = [found for found in checks if found.what.startswith("cost, pico-dollars")]
    print_table(
        "", ["what", "expected", "found", ""],
        [(c.what, c.expected, c.found, "ok" if c.ok else "DIFFERENT") for c in (*money, *wrong)],
    )  # fmt: skip
    difference = law.result_rows[0][law.column_names.index("difference")]
    console.print(f"{len(checks) - len(wrong)} of {len(checks)} checks against the truth files agree.")
    return not wrong and difference == 0


def measure_alerts(settings: "Settings") -> list[float]:
    """Seconds from sending one event to its budget alert on the topic, one after the other."""
    return asyncio.run(_probe(settings))


async def _probe(settings: "Settings") -> list[float]:
    from spendstream.control import publish  # noqa: PLC0415
    from spendstream.control.files import Source  # noqa: PLC0415
    from spendstream.runtime.kafka.publisher import Publisher  # noqa: PLC0415
    from spendstream.runtime.kafka.reader import partition_reader, read_batches  # noqa: PLC0415
    from spendstream.schemas import decode, encode  # noqa: PLC0415

    names = [f"probe-{int(time.time())}-{i}" for i in range(PROBES)]
    spec: dict[str, Any] = {"window": "day", "amount_usd": "0.000001"}
    budgets = [Source("demo", 1, "default", "Budget", name, {**spec, "scope": {"team": name}}, {}) for name in names]
    publisher = Publisher(settings)
    await publisher.start()
    waits: list[float] = []
    try:
        changes = publish.plan_changes(budgets, await publish.load_control(settings))
        await publish.await_services(settings, await publish.publish(publisher, changes))
        async with partition_reader(settings, "alerts", 0, 0) as alerts:
            async for _ in read_batches(alerts, "alerts", 0):
                pass
            for name in names:
                event = {
                    "event_id": name, "occurred_at": time.time_ns() // 1000, "team": name, "project": "demo",
                    "environment": "demo", "cost_center": "demo", "service": "probe", "provider": "openai",
                    "model": "gpt-5.4", "input_tokens": 1000, "output_tokens": 10,
                }  # fmt: skip
                sent = time.monotonic()
                await publisher.send("usage", [(name.encode(), encode("Usage", event))])
                while time.monotonic() - sent < 10:
                    found = [r for batch in (await alerts.getmany(timeout_ms=200)).values() for r in batch]
                    if any(decode(record.value)[1]["name"] == name for record in found):
                        break
                waits.append(time.monotonic() - sent)
        await publish.delete(publisher, [change.key for change in changes])
    finally:
        await publisher.stop()
    return waits
