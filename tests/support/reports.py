"""A month and a half of usage for reports: owned and not, discounted and not, cached, failed, tiered and unpriced."""

import csv
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, Template, installed

# What differs from the examples' prices: a negotiated model with everything a price can have, and one with two prices
# of which the second has no cache price and a margin alone.
PRICES = """
kind: Price
name: deals/negotiated
spec:
  provider: deals
  model: negotiated
  effective_from: 2026-01-01T00:00:00Z
  usd_per_million_tokens: {input: 1.75, output: 14.000003, cache_read: 0.175}
  usd_per_request: 0.000077
  context_tiers: [{above_input_tokens: 20000, usd_per_million_tokens: {input: 3.333333}}]
  service_tiers: {batch: {multiplier: 0.5}}
  discount: 0.153
  margin: 0.07
---
kind: Price
name: deals/half
spec:
  provider: deals
  model: half
  effective_from: 2026-01-01T00:00:00Z
  usd_per_million_tokens: {input: 2}
"""
OWNERS = """
kind: Owner
name: bots
spec: {match: {service: bot}, team: automation, project: bots, environment: prod, cost_center: cc-7}
"""
MODELS = (
    ("openai", "gpt-5.5"), ("openai", "gpt-5.4"), ("anthropic", "claude-sonnet-4.6"), ("google", "gemini-2.5-pro"),
    ("deals", "negotiated"), ("deals", "half"), ("nobody", "knows-this"),
)  # fmt: skip
FIRST = datetime(2026, 1, 20, tzinfo=UTC)


@dataclass(frozen=True)
class Call:
    """One row of the usage table."""

    row: dict[str, Any]

    def negotiated_usd(self) -> dict[str, Fraction]:
        """List, contracted and billed cost of a call of `negotiated`, by hand."""
        row = self.row
        if row["cache_hit"]:
            return dict.fromkeys(("list", "contracted", "billed"), Fraction(0))
        total = row["input_tokens"] + row["cache_read_tokens"]
        fresh = Fraction("3.333333") if total > 20_000 else Fraction("1.75")
        whole = row["input_tokens"] * fresh + row["cache_read_tokens"] * Fraction("0.175")
        whole += (row["output_tokens"] + row["reasoning_tokens"]) * Fraction("14.000003")
        listed = (whole / 10**6 + Fraction("0.000077")) * (Fraction(1, 2) if row["service_tier"] == "batch" else 1)
        contracted = listed * (1 - Fraction("0.153"))
        return {
            "list": listed, "contracted": contracted,
            "billed": Fraction(round(contracted * Fraction("1.07") * 10**12), 10**12),
        }  # fmt: skip


def calls(count: int, seed: int = 3) -> list[Call]:
    """Random calls from 20 January to 6 March 2026."""
    chance = random.Random(seed)
    made = []
    for i in range(count):
        provider, model = chance.choice(MODELS)
        service = chance.choice(("ranker", "chat", "bot", "<b>&[/odd]"))
        team = "" if service == "bot" else chance.choice(("search", "assistants", "", "R&D <ops>"))
        occurred = FIRST + timedelta(seconds=chance.randrange(46 * 86_400))
        made.append(Call({
            "event_id": f"report-{i}", "occurred_at": occurred.isoformat().replace("+00:00", "Z"), "team": team,
            "project": team and "p", "environment": team and "prod", "cost_center": team and "cc-1",
            "service": service, "feature": chance.choice(("", "reply")), "user_id": f"u-{chance.randrange(40)}",
            "session_id": chance.choice(("", f"s-{chance.randrange(200)}")), "provider": provider, "model": model,
            "service_tier": chance.choice(("standard", "batch")) if model != "half" else "standard",
            "region": chance.choice(("", "eu-west-1")), "convention": "disjoint",
            "input_tokens": chance.randrange(30_000), "output_tokens": chance.randrange(3_000),
            "cache_read_tokens": chance.choice((0, chance.randrange(9_000))),
            "reasoning_tokens": chance.choice((0, chance.randrange(900))), "requests": 1,
            "status": chance.choice(("ok", "ok", "ok", "timeout")), "cache_hit": chance.random() < 0.05,
        }))  # fmt: skip
    return made


def usage_csv(rows: list[Call]) -> str:
    """For `import usage`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0].row))
    writer.writeheader()
    writer.writerows(call.row | {"cache_hit": str(call.row["cache_hit"]).lower()} for call in rows)
    return out.getvalue()


CALLS = calls(900)


@pytest.fixture(scope="session")
def reported_installation(template: Template) -> Iterator[Installation]:
    """An installation that holds CALLS, priced and owned, brought in by the public commands alone. Read it only."""
    with installed("tansu", template) as system:
        system.service("attribution").start()
        home = system.stack.home
        for name, text in (("prices.yaml", PRICES), ("owners.yaml", OWNERS), ("usage.csv", usage_csv(CALLS))):
            (home / name).write_text(text)
        documents = (Path("examples/prices.yaml"), home / "prices.yaml", home / "owners.yaml")
        system.run("apply", *(argument for path in documents for argument in ("-f", str(path))))
        system.run("import", "usage", str(home / "usage.csv"), "--no-progress")
        # Everything is in the tables: nobody has to go on writing or reading.
        system.end()
        system.stack.kill_broker()
        yield system
