"""The doctor finds a healthy installation healthy, and says what is broken in a broken one."""

import json
import urllib.request

import pytest

from tests.e2e.conftest import System
from tests.support.stack import eventually

pytestmark = pytest.mark.embedded


def by_check(found: dict[str, object]) -> dict[str, dict[str, str]]:
    checks = found["checks"]
    assert isinstance(checks, list)
    return {check["check"]: check for check in checks}


def test_a_running_installation_is_healthy(system: System) -> None:
    well = ("broker", "topics", "ClickHouse", "migrations", "service attribution", "service budgets", "consumers",
            "ledger", "conservation", "duplicates horizon")  # fmt: skip

    def unwell() -> list[dict[str, str]]:
        answer, _ = system.start("doctor", "--json").communicate()  # whatever it thinks of other tests' dead letters
        checks = by_check(json.loads(answer))
        return [checks[name] for name in well if checks[name]["state"] != "ok"]

    # What other tests have sent may still be on its way.
    eventually(lambda: not unwell())


def test_services_that_do_not_run_records_nobody_reads_and_missing_tables_are_named(stopped_system: System) -> None:
    stopped_system.up("stack", "up")
    table = stopped_system.home / "one.csv"
    table.write_text("occurred_at,service,provider,model\n2026-01-01T00:00:00Z,s,p,m\n")
    stopped_system.run("import", "usage", str(table), "--no-wait")
    checks = by_check(stopped_system.json("doctor", code=1))
    assert checks["service attribution"]["state"] == "fail"
    assert "spendstream run attribution" in checks["service attribution"]["advice"]
    assert checks["ledger"]["found"].startswith("1 records wait")
    assert checks["conservation"]["state"] == "ok"

    stopped_system.run("query", "drop database spendstream", code=1)  # `query` cannot change anything
    url = f"http://127.0.0.1:{stopped_system.clickhouse_port}/"
    urllib.request.urlopen(url, data=b"drop database spendstream", timeout=30).close()
    checks = by_check(stopped_system.json("doctor", code=1))
    assert checks["ClickHouse"]["state"] == "ok"
    assert "0001_ledger.sql" in checks["migrations"]["found"]
    assert "run `spendstream migrate`" in stopped_system.run("dead-letters", "show", code=3).stderr
    stopped_system.run("migrate")
    assert by_check(stopped_system.json("doctor", code=1))["migrations"]["state"] == "ok"

    urllib.request.urlopen(url, data=b"drop table spendstream.charges", timeout=30).close()
    checks = by_check(stopped_system.json("doctor", code=1))
    assert checks["migrations"]["state"] == "fail"
    assert "charges" in checks["migrations"]["found"] and "backup" in checks["migrations"]["advice"]


def test_what_cannot_be_reached_fails_with_advice_and_the_rest_is_still_examined(system: System) -> None:
    no_broker = system.run("doctor", code=1, KAFKA_BOOTSTRAP="127.0.0.1:9")
    assert "set KAFKA_BOOTSTRAP" in no_broker.stdout
    assert "difference 0" in no_broker.stdout
    no_database = system.run("doctor", code=1, CLICKHOUSE_URL="http://127.0.0.1:9")
    assert "set CLICKHOUSE_URL" in no_database.stdout
    assert "1 running" in no_database.stdout
    for done in (no_broker, no_database):
        assert "Traceback" not in done.stderr
        assert "error: failed:" in done.stderr
