"""Exports of other tools and traces through the public commands: each costs what was worked out by hand."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.installation import Installation

pytestmark = pytest.mark.embedded

EXPORTS = Path(__file__).parents[1] / "data" / "exports"
TRACES = Path(__file__).parents[1] / "data" / "traces"
FILES = {  # format → files, and the exit code: 1 where they have a bad row
    "openai-usage": (["openai-usage.json", "openai-batch.jsonl"], 1),
    "anthropic-usage": (["anthropic-usage.json", "anthropic-console.csv"], 1),
    "litellm": (["litellm.jsonl"], 1),
    "langfuse": (["langfuse.json"], 1),
    "helicone": (["helicone.jsonl"], 0),
}


def imported(system: Installation, file_format: str) -> dict[str, int]:
    files, code = FILES[file_format]
    paths = [str(EXPORTS / name) for name in files]
    done = system.run("import", "usage", *paths, "--format", file_format, "--json", check=False)
    assert done.returncode == code, done.stderr
    reports = json.loads(done.stdout)["files"]
    names = ("rows", "bad_rows", "sent", "priced", "unpriced", "rejected")
    return {name: sum(report[name] for report in reports) for name in names}


def test_exports_cost_what_was_worked_out_by_hand(installation: Installation) -> None:
    installation.service("attribution").start()
    installation.run("apply", "-f", "examples/prices.yaml")
    reports = {file_format: imported(installation, file_format) for file_format in FILES}
    assert {name: (report["rows"], report["bad_rows"]) for name, report in reports.items()} == {
        "openai-usage": (4, 2), "anthropic-usage": (3, 2), "litellm": (2, 1), "langfuse": (1, 1), "helicone": (2, 0),
    }  # fmt: skip
    for report in reports.values():
        assert report["sent"] == report["rows"] == report["priced"]
    found = installation.query(
        "select service, team, sum(cost_usd) from v_cost group by service, team order by service"
    )
    assert found == [
        ("answer", "unallocated", Decimal("0.01039")),  # 86 × 5 + 1 920 × 0.5 + 300 × 30, dollars a million
        # 900 000 × 5 + 4 000 000 × 0.5 + 40 000 × 6.25 + 60 000 × 10 + 200 000 × 25, and the Console's rows
        ("anthropic-usage", "unallocated", Decimal("12.35") + Decimal("0.75801125") + Decimal("0.0625")),
        ("chat-api", "chat", Decimal(0)),  # answered by the gateway's cache
        # 600 000 × 5 + 400 000 × 0.5 + 200 000 × 30, and three batches at half price
        ("openai-usage", "unallocated", Decimal("9.2") + Decimal("4.5") + Decimal("0.00275") + Decimal("0.00125")),
        ("ranker", "search", Decimal("0.014875")),  # 50 × 5 + 1 000 × 0.5 + 248 × 6.25 + 503 × 25
        ("replies", "chat", Decimal("0.0006")),  # 100 × 1 + 100 × 5, whatever its total says
        ("search-api", "search", Decimal("0.182515")),  # 3 × 5 + 2 000 × 0.5 + 5 000 × 6.25 + 15 000 × 10 + 10 × 25
    ]
    assert imported(installation, "openai-usage")["sent"] == 0
    again = installation.run("import", "usage", str(EXPORTS / "helicone.jsonl"), "--format", "helicone")
    assert "helicone.jsonl:3: token_mismatch: total_tokens is 250, its classes add up to 200" in again.stderr


def test_traces_of_requests_arrive_whole(installation: Installation) -> None:
    installation.service("attribution").start()
    burst = installation.stack.home / "burst.csv"
    burst.write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,GPT-4,472,18,490,API log\n"
    )
    files = {"mooncake": TRACES / "mooncake.jsonl", "servegen": TRACES / "client_rates.csv", "burstgpt": burst}
    for file_format, path in files.items():
        installation.run("import", "usage", str(path), "--format", file_format)
    found = installation.query(
        "select if(model in ('gpt-4', 'deepseek-r1', 'mm-image'), model, 'drawn') as named, sum(requests),"
        " sum(input_cache_read_tokens), sum(input_tokens), uniqExact(team) > 1"
        " from charges group by named order by named"
    )
    requests = {"deepseek-r1": 395_572, "mm-image": 43_802}  # rate × 600 s over all steps, in whole requests
    assert [(name, count) for name, count, *_ in found if name in requests] == sorted(requests.items())
    by_name = {name: rest for name, *rest in found}
    assert by_name["drawn"] == [118, 7_872, 46_756, 1]
    assert by_name["gpt-4"][:3] == [1, 0, 472]


def test_what_is_no_export_is_refused_before_anything_is_sent(installation: Installation) -> None:
    wrong = str(EXPORTS / "helicone.jsonl")
    done = installation.run("import", "usage", wrong, "--format", "langfuse", check=False)
    assert done.returncode == 2
    assert f"{wrong}: line 1: has the shape of helicone" in done.stderr
    mapped = installation.run("import", "usage", wrong, "--format", "helicone", "--map", "w.yaml", check=False)
    assert mapped.returncode == 2
    assert "says itself who called" in mapped.stderr
