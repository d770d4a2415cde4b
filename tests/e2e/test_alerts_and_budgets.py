"""Money spent to alert on the screen."""

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.conftest import System
from tests.e2e.usage_files import PRICES, calls, table
from tests.support.stack import eventually
from tests.support.windows import lasting

pytestmark = pytest.mark.embedded

BUDGET = """
kind: Budget
name: spender-year
spec: {scope: {team: spender-0}, window: %s, amount_usd: %s}
"""


def test_a_budget_that_is_spent_shows_in_its_status_and_in_the_alerts(system: System) -> None:
    [call] = calls("spender", 1, seed=1, team="spender")
    call = replace(call, team="spender-0", occurred_at=datetime.now(UTC), model="cached", service_tier="")
    spent = Decimal(call.pico_usd()).scaleb(-12)
    amount = (spent / Decimal("0.85")).quantize(Decimal("0.000000000001"))
    budget = BUDGET % (lasting("month", "week"), f"{amount:f}")
    documents = [system.file("prices.yaml", PRICES), system.file("budget.yaml", budget)]
    # Before everything else: it must be listening when the first alert comes, and does not say when it is.
    follower = system.start("alerts", "tail", "--follow", "--kind", "budget", "--json", "-n", "0")
    try:
        system.run("apply", "-f", documents[0], "-f", documents[1])
        [before] = eventually(lambda: status(system))
        assert Decimal(before["spent_usd"]) == 0
        system.run("import", "usage", system.file("spender.csv", table([call])))
        [after] = eventually(lambda: [row for row in status(system) if row["state"] == "firing"])
        assert (Decimal(after["spent_usd"]), Decimal(after["amount_usd"])) == (spent, amount)
        assert after["scope"] == {"team": "spender-0"}
        assert after["severity"] == "warning"
        assert after["share"] == pytest.approx(0.85)
        followed = [next_alert(follower), next_alert(follower)]
    finally:
        follower.kill()
        follower.communicate()
    assert [(alert["name"], alert["severity"]) for alert in followed] == [
        ("spender-year", "notice"), ("spender-year", "warning"),
    ]  # fmt: skip
    assert Decimal(followed[1]["observed_usd"]) == spent
    lines = [line for line in system.run("alerts", "tail", "--since", "1h").stdout.splitlines() if "spender" in line]
    assert ["notice" in lines[0], "warning" in lines[1]] == [True, True]
    [newest] = system.run("alerts", "tail", "--kind", "budget", "--lines", "1").stdout.splitlines()
    assert newest == lines[-1]
    assert "85.0%" in system.run("budgets", "status").stdout
    assert "spender" not in system.run("alerts", "tail", "--kind", "anomaly").stdout

    system.run("delete", "Budget/spender-year")
    eventually(lambda: not status(system))


def status(system: System) -> list[dict[str, Any]]:
    return [row for row in system.json("budgets", "status") if row["budget"] == "spender-year"]


def next_alert(follower: "subprocess.Popen[str]") -> dict[str, Any]:
    assert follower.stdout is not None
    alert: dict[str, Any] = json.loads(follower.stdout.readline())
    return alert
