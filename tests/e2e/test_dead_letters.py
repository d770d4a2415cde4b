"""What was refused can be seen, put right, and sent again, once."""

import csv
import io
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.conftest import System
from tests.e2e.usage_files import PRICES, calls, table, usd_by_team
from tests.support.stack import eventually

pytestmark = pytest.mark.embedded
AHEAD_S = 300  # how far ahead of the broker a clock may be


def test_a_letter_is_shown_replayed_once_the_cause_is_gone_and_never_again(system: System) -> None:
    begun = time.monotonic()
    system.run("apply", "-f", system.file("prices.yaml", PRICES))
    # Early enough to be refused still, however long a command takes on this machine just now.
    soon = max(12.0, 6 * (time.monotonic() - begun))
    early = datetime.now(UTC) + timedelta(seconds=AHEAD_S + soon)
    [call] = [replace(each, occurred_at=early) for each in calls("early", 1, seed=1, team="early")]
    path = system.file("early.csv", table([call]))
    assert f"{path}:2: rejected as clock" in system.run("import", "usage", path, code=1).stderr
    [letter] = letters(system)
    assert (letter["event_id"], letter["reason"]) == ("early-0", "clock")
    assert "early-0" in system.run("dead-letters", "show", "--reason", "clock").stdout
    planned = system.json("dead-letters", "replay", "--reason", "clock", "--dry-run")
    assert planned["letters"] == [{"reason": "clock", "letters": 1, "replayed": False, "obstacle": None}]
    assert letters(system) == [letter]

    eventually(lambda: time.time() > early.timestamp() - AHEAD_S, timeout=2 * soon)
    system.run("dead-letters", "replay", "--reason", "clock", "--since", "1h")
    sql = "select team, toString(sum(cost_usd)) as usd from v_cost where event_id = 'early-0' group by team"
    [row] = eventually(lambda: system.query(sql))
    assert {row["team"]: row["usd"].rstrip("0")} == {t: str(usd).rstrip("0") for t, usd in usd_by_team([call]).items()}
    assert letters(system) == []
    assert system.json("dead-letters", "replay", "--reason", "clock")["letters"] == []
    assert [each["event_id"] for each in system.json("dead-letters", "show", "--reason", "clock", "--all")] == [
        "early-0"
    ]


def letters(system: System) -> list[dict[str, object]]:
    found: list[dict[str, object]] = system.json("dead-letters", "show", "--reason", "clock")
    return found


def test_a_conflict_is_filed_and_never_replayed(system: System) -> None:
    [call] = calls("twin", 1, seed=2, team="twin")
    rows = list(csv.reader(io.StringIO(table([call, replace(call, output_tokens=call.output_tokens + 1)]))))
    path = system.file("twin.csv", "\n".join(",".join(row) for row in rows))
    assert "1 rejected" in system.run("import", "usage", path, code=1).stderr
    replayed = system.json("dead-letters", "replay", "--reason", "conflict")["letters"]
    assert [(each["replayed"], each["obstacle"]) for each in replayed] == [(False, "the first event of an id counts")]
    assert system.query("select count() as n from v_cost where event_id = 'twin-0'") == [{"n": 1}]
