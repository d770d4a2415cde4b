"""Files of usage: exact, once for ever, and honest about what could not be taken."""

import signal
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.e2e.conftest import System, past_the_horizon
from tests.e2e.usage_files import PRICES, calls, table, usd_by_team
from tests.support.stack import eventually

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def priced(system: System) -> System:
    system.run("apply", "-f", system.file("prices.yaml", PRICES))
    return system


def spent(system: System, view: str, team: str) -> dict[str, Decimal]:
    """Dollars by team of all teams of a test."""
    rows = system.query(
        f"select team, sum(cost_usd) as usd from {view} where startsWith(team, '{team}-') group by team"
    )
    return {row["team"]: Decimal(row["usd"]) for row in rows}


def test_an_imported_table_costs_what_fractions_say_in_every_view_at_once(priced: System) -> None:
    rows = calls("exact", 600, seed=1, team="exact")
    report = priced.json("import", "usage", priced.file("exact.csv", table(rows)))["files"][0]
    for view in ("v_cost", "v_cost_daily", "v_cost_hourly"):
        assert spent(priced, view, "exact") == usd_by_team(rows)
    assert {name: report[name] for name in ("rows", "sent", "priced", "unpriced", "duplicate", "rejected")} == {
        "rows": 600, "sent": 600, "priced": 600, "unpriced": 0, "duplicate": 0, "rejected": 0,
    }  # fmt: skip


def test_importing_twice_changes_nothing_even_when_the_ids_are_forgotten(priced: System) -> None:
    rows = calls("twice", 200, seed=2, team="twice")
    text = table(rows)
    priced.run("import", "usage", priced.file("twice.csv", text))
    past_the_horizon(priced)
    again = priced.run("import", "usage", priced.file("a-copy-of-twice.csv", text))
    assert "was imported before" in again.stderr
    assert spent(priced, "v_cost", "twice") == usd_by_team(rows)
    assert priced.query("select count() as n from v_cost where startsWith(event_id, 'twice-')") == [{"n": 200}]


def test_bad_rows_are_named_by_file_line_and_column_and_the_good_ones_imported(priced: System) -> None:
    rows = calls("partly", 6, seed=3, team="partly")
    lines = table(rows).splitlines()
    lines[2] = lines[2].replace(str(rows[1].input_tokens), "many")
    lines[4] = lines[4].replace(rows[3].row()["occurred_at"], "yesterday")
    lines[5] += ",one,too,many"
    path = priced.file("partly.csv", "\n".join(lines) + "\n")
    done = priced.run("import", "usage", path, code=1)
    assert f"{path}:3: input_tokens:" in done.stderr
    assert f"{path}:5: occurred_at:" in done.stderr
    assert f"{path}:6: row:" in done.stderr
    assert "3 bad" in done.stderr
    assert spent(priced, "v_cost", "partly") == usd_by_team([rows[0], rows[2], rows[5]])
    assert [bad["line"] for bad in priced.json("import", "usage", path, code=1)["files"][0]["bad"]] == [3, 5, 6]


def test_rows_that_attribution_refuses_or_cannot_price_are_named_too(priced: System) -> None:
    rows = calls("odd", 3, seed=4, team="odd")
    refused = replace(rows[1], convention="inclusive", input_tokens=1, cache_read_tokens=5)
    unknown = replace(rows[2], model="never-heard-of")
    path = priced.file("odd.csv", table([rows[0], refused, unknown, rows[0]]))
    done = priced.run("import", "usage", path, code=1)
    assert f"{path}:3: rejected as negative_bucket" in done.stderr
    assert "rows without a price: 1" in done.stderr
    report = priced.json("import", "usage", path, code=1)["files"][0]
    assert [report[name] for name in ("priced", "unpriced", "duplicate", "rejected")] == [1, 1, 1, 1]


def test_a_file_that_cannot_be_read_is_refused_before_anything_is_sent(priced: System) -> None:
    good = priced.file("good.csv", table(calls("unsent", 5, seed=5, team="unsent")))
    unknown = priced.file("header.csv", "occurred_at,service,provider,model,colour\n")
    for wrong in (unknown, str(priced.home / "missing.csv")):
        done = priced.run("import", "usage", good, wrong, code=2)
        assert wrong in done.stderr
        assert "nothing was imported" in done.stderr
    assert "'xml' is none of" in priced.run("import", "usage", good, "--format", "xml", code=2).stderr
    assert spent(priced, "v_cost", "unsent") == {}


def test_a_trace_without_owners_is_imported_once(priced: System) -> None:
    start = datetime(2023, 11, 16, 18, 17, 3, tzinfo=UTC)
    lines = [f"{start + timedelta(seconds=i):%Y-%m-%d %H:%M:%S}.9799600,{4000 + i},{10 + i}" for i in range(40)]
    path = priced.file("azure.csv", "\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]))
    for _ in range(2):
        priced.run("import", "usage", path, "--format", "azure-llm")
    window = "ts between '2023-11-16 18:17:03' and '2023-11-16 18:18:00' and team not like '%-%'"
    found = priced.query(
        f"select count() as n, sum(requests) as r, countIf(team = '') as nobody from v_cost where {window}"
    )
    assert found == [{"n": 40, "r": 40, "nobody": 0}]


def test_an_import_killed_half_way_loses_and_doubles_nothing_when_it_is_given_again(priced: System) -> None:
    one = replace(calls("killed", 1, seed=6, team="killed")[0], team="killed-0")
    count = 80_000
    path = priced.file("killed.csv", table([replace(one, event_id=f"killed-{i}") for i in range(count)]))
    first = priced.start("import", "usage", path, gives_way=True)
    try:
        eventually(lambda: counted(priced, "killed") > 0)
    finally:
        first.kill()
        first.communicate()
    past_the_horizon(priced)
    before = counted(priced, "killed")
    assert 0 < before < count, "the import was not killed half way"
    report = priced.json("import", "usage", path)["files"][0]
    assert report["already_there"] >= before
    assert report["already_there"] + report["sent"] == count
    assert counted(priced, "killed") == count
    assert spent(priced, "v_cost_daily", "killed") == {"killed-0": count * Decimal(one.pico_usd()).scaleb(-12)}


def test_an_import_that_is_interrupted_says_how_to_go_on(priced: System) -> None:
    one = replace(calls("stopped", 1, seed=8, team="stopped")[0], team="stopped-0")
    count = 60_000
    path = priced.file("stopped.csv", table([replace(one, event_id=f"stopped-{i}") for i in range(count)]))
    first = priced.start("import", "usage", path, gives_way=True)
    eventually(lambda: counted(priced, "stopped") > 0)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=120)
    assert first.returncode == 130
    assert "give the same command again" in said and "nothing is counted twice" in said and "Traceback" not in said
    priced.run("import", "usage", path)
    assert counted(priced, "stopped") == count


def counted(system: System, prefix: str) -> int:
    """Charges of a test, asked over HTTP: a command would take a second to start."""
    sql = f"select count() from spendstream.charges where startsWith(event_id, '{prefix}-')"
    with urlopen(f"{system.environment['CLICKHOUSE_URL']}/?query={quote(sql)}", timeout=10) as answer:
        return int(answer.read())


def test_rows_lost_with_an_in_memory_broker_before_they_were_read_are_sent_again(stopped_system: System) -> None:
    system, rows = stopped_system, calls("unread", 50, seed=7, team="unread")
    path = system.file("unread.csv", table(rows))
    system.up("stack", "up")
    waiting = system.run("import", "usage", path, "--timeout", "1", code=3)
    assert "still waiting for 50 records" in waiting.stderr
    system.down()
    system.up("up", "--services", "attribution")
    system.run("apply", "-f", system.file("prices.yaml", PRICES))
    assert [system.json("import", "usage", path)["files"][0]["sent"] for _ in range(2)] == [50, 0]
    assert spent(system, "v_cost_daily", "unread") == usd_by_team(rows)


def test_without_a_broker_the_command_says_so(system: System) -> None:
    path = system.file("nowhere.csv", table(calls("nowhere", 1, seed=9, team="nowhere")))
    done: subprocess.CompletedProcess[str] = system.run("import", "usage", path, code=3, KAFKA_BOOTSTRAP="127.0.0.1:9")
    assert "no Kafka broker answers" in done.stderr
    assert "Traceback" not in done.stderr
