"""Documents with mistakes."""

import json
import subprocess

import pytest

from tests.e2e.conftest import PROGRAM, System

pytestmark = pytest.mark.embedded

MISTAKES = """kind: Price
name: mistakes/negative
spec:
  provider: mistakes
  model: negative
  effective_from: 2020-01-01T00:00:00Z
  usd_per_million_tokens: {input: 1, output: -3}
---
kind: Budget
name: mistakes-budget
spec:
  scope: {team: mistakes}
  window: fortnight
  amount_usd: 5
---
kind: Price
name: mistakes/fine
spec:
  provider: mistakes
  model: fine
  effective_from: 2020-01-01T00:00:00Z
  usd_per_million_tokens: {input: 1, output: 3}
"""


def test_every_mistake_is_named_by_file_and_line_and_nothing_is_published(system: System) -> None:
    path = system.file("mistakes.yaml", MISTAKES)
    done = system.run("apply", "-f", path, code=2)
    assert f"{path}:7:" in done.stderr
    assert f"{path}:13:" in done.stderr
    assert "nothing was published" in done.stderr
    fine = system.file("fine.yaml", MISTAKES.rsplit("---\n", 1)[1])
    (document,) = system.json("apply", "-f", fine, "--dry-run")["documents"]
    assert (document["document"], document["state"], document["revision"]) == ("Price/mistakes/fine", "new", 1)


PRICE = """kind: Price
name: versions/one
spec:
  provider: versions
  model: one
  effective_from: %s
  usd_per_million_tokens: {input: 1, output: 3}
"""


def test_two_versions_of_a_price_are_told_apart(system: System) -> None:
    starts = ["2020-01-01T00:00:00Z", "2026-07-01T00:00:00Z"]
    path = system.file("versions.yaml", "---\n".join(PRICE % start for start in starts))
    shown = system.run("apply", "-f", path, "--dry-run").stdout.splitlines()
    for start in starts:
        assert len([line for line in shown if "Price/versions/one" in line and start in line]) == 1
    found = system.json("apply", "-f", path, "--dry-run")["documents"]
    assert [document["effective_from"] for document in found] == starts


BAD = ("{$decimal: x}", "!!set {a}", '"\\ud800"', "[" * 3_000 + "]" * 3_000, "y" * 950_000)


def test_a_document_that_cannot_be_published_stops_the_others_too(system: System) -> None:
    fine = system.file("fine-too.yaml", PRICE % "2021-01-01T00:00:00Z")
    bad = [
        system.file(f"bad-{i}.yaml", f"kind: Route\nname: bad-{i}\nspec:\n  to: a\n  match: {value}\n")
        for i, value in enumerate(BAD)
    ]
    done = system.run("apply", "-f", fine, *(part for path in bad for part in ("-f", path)), code=2)
    assert "nothing was published" in done.stderr and "Traceback" not in done.stderr
    assert all(f"{path}:" in done.stderr for path in bad)
    assert system.json("apply", "-f", fine, "--dry-run")["documents"][0]["state"] == "new"


def test_deleting_by_name_alone_suggests_the_kind(system: System) -> None:
    budget = "kind: Budget\nname: red-month\nspec: {scope: {team: red}, window: month, amount_usd: 5}\n"
    system.run("apply", "-f", system.file("red.yaml", budget))
    assert "did you mean Budget/red-month?" in system.run("delete", "red-month", code=2).stderr
    system.run("delete", "Budget/red-month")
    assert "there is no Budget/red-month" in system.run("delete", "Budget/red-month", code=2).stderr


def test_commands_find_the_stack_that_runs_in_their_home(system: System) -> None:
    given = ("KAFKA_BOOTSTRAP", "CLICKHOUSE_URL")
    environment = {name: value for name, value in system.environment.items() if name not in given}
    for command in (["query", "select 1 as one", "--json"], ["topics", "apply", "--json"]):
        done = subprocess.run(
            [*PROGRAM, *command], env=environment, cwd=system.home, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)


def test_a_query_is_answered_in_the_words_of_who_asked(system: System) -> None:
    for sql, says in (
        ("select nope from v_cost", "`nope`"),
        ("select (1", "Syntax error"),
        ("select 1 format JSON", "FORMAT"),
    ):
        said = system.run("query", sql, code=1).stderr
        assert says in said and not any(word in said for word in ("DB::", "http", "Native", "version"))
    assert "no rows" in system.run("query", "select 1 where 0").stderr
