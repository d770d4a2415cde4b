"""`apply` and `delete` against a real broker: all or nothing, twice is once, and services say that they have it."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from spendstream.control.publish import load_control
from spendstream.runtime.control import Document
from tests.support.installation import Installation
from tests.support.usage import PRICES, message, usage

BUDGET = "kind: Budget\nname: small\nspec: {scope: {team: search}, window: hour, amount_usd: 10.5}\n"
BAD = "kind: Budget\nname: broken\nspec:\n  scope: {team: search}\n  window: fortnight\n  amount_usd: 10\n"


BOTH = [
    pytest.param("installation", marks=pytest.mark.embedded),
    pytest.param("kafka_installation", marks=[pytest.mark.kafka, pytest.mark.long]),
]


@pytest.fixture(params=BOTH)
def system(request: pytest.FixtureRequest) -> Installation:
    made: Installation = request.getfixturevalue(request.param)
    return made


def in_force(system: Installation) -> list[Document]:
    return list(asyncio.run(load_control(system.settings)).documents())


def end(system: Installation) -> int:
    return asyncio.run(load_control(system.settings)).offset


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_documents_are_applied_compared_and_deleted(system: Installation, tmp_path: Path) -> None:
    good = write(tmp_path, "good.yaml", f"{BUDGET}---{PRICES}")
    bad = write(tmp_path, "bad.yaml", BAD)

    # A bad document among good ones: nothing is published, and the answer says where.
    refused = system.run("apply", "-f", good, "-f", bad, check=False)
    assert refused.returncode == 2 and f"{bad}:5:" in refused.stderr and "window" in refused.stderr
    assert "nothing was published" in refused.stderr and end(system) == 0

    # A dry run says what would happen.
    assert "new" in system.run("apply", "-f", good, "--dry-run").stdout
    assert end(system) == 0

    # The first time both are new, the second time nothing changes.
    told = json.loads(system.run("apply", "-f", good, "--json").stdout)
    assert [document["state"] for document in told["documents"]] == ["new", "new"] and told["control_offset"] == 2
    told = json.loads(system.run("apply", "-f", good, "--json").stdout)
    assert [document["state"] for document in told["documents"]] == ["same", "same"]
    assert end(system) == 2

    # A price keeps its revisions, a budget is replaced.
    changed = write(
        tmp_path, "changed.yaml",
        f"{BUDGET.replace('10.5', '11')}---{PRICES.replace('input: 1,', 'input: 1.25,')}",
    )  # fmt: skip
    told = json.loads(system.run("apply", "-f", changed, "--json").stdout)
    assert [(d["state"], d["revision"]) for d in told["documents"]] == [("changed", 2), ("changed", 2)]
    assert sorted((d.kind, d.revision) for d in in_force(system)) == [("Budget", 2), ("Price", 1), ("Price", 2)]

    # A price beyond the sanity bound is refused unless it is meant.
    dear = write(tmp_path, "dear.yaml", PRICES.replace("input: 1,", "input: 5000,"))
    refused = system.run("apply", "-f", dear, check=False)
    assert refused.returncode == 2 and f"{dear}:" in refused.stderr and end(system) == 4
    system.run("apply", "-f", dear, "--force")
    assert end(system) == 5

    # Another organisation's budget of the same name is its own.
    other = write(tmp_path, "other.yaml", BUDGET.replace("name: small", "name: small\norg: acme"))
    system.run("apply", "-f", other)
    assert sorted(d.org for d in in_force(system) if d.kind == "Budget") == ["acme", "default"]

    # Deleting one organisation's document leaves the other's alone.
    unknown = system.run("delete", "Budget/nobody", check=False)
    assert unknown.returncode == 2 and "there is no Budget/nobody" in unknown.stderr
    system.run("delete", "Budget/small")
    assert [d.org for d in in_force(system) if d.kind == "Budget"] == ["acme"]


def test_apply_returns_when_running_services_hold_the_documents(system: Installation, tmp_path: Path) -> None:
    system.service("attribution").start()
    told = json.loads(system.run("apply", "-f", write(tmp_path, "good.yaml", BUDGET), "--json").stdout)
    assert len(told["held_by"]) == 1 and told["held_by"][0].startswith("attribution/") and told["not_held_by"] == []


EURO = """
kind: FxRate
name: EUR/2026-01-01
spec: {currency: EUR, date: 2026-01-01, usd_per_unit: 1.25}
---
kind: Price
name: euro/model
spec:
  {provider: euro, model: model, currency: EUR, effective_from: 2026-01-01, per_million_tokens: {input: 2, output: 4}}
"""


@pytest.mark.embedded
def test_every_revision_of_a_price_is_in_its_table_and_euros_are_converted(
    installation: Installation, tmp_path: Path
) -> None:
    installation.service("attribution").start()
    installation.run("apply", "-f", write(tmp_path, "euro.yaml", EURO))
    installation.publish("usage", [message(usage("first", provider="euro", model="model"))])
    # 1 000 × €2/M + 100 × €4/M = €0.0024 = $0.003
    installation.until("select sum(cost_usd) from charges where status = 'priced'", lambda usd: usd == Decimal("0.003"))
    assert "EUR@2026-01-01=1.25" in installation.value("select price_id from charges")
    installation.run("apply", "-f", write(tmp_path, "dearer.yaml", EURO.replace("output: 4", "output: 5")))
    installation.until("select count() from prices final", lambda n: n == 2)
    rows = installation.query(
        "select name, revision, toString(toDate(effective_from)) from prices final order by revision"
    )
    assert rows == [("euro/model", 1, "2026-01-01"), ("euro/model", 2, "2026-01-01")]
