"""Usage tables and price documents, and what they must cost by another way of computing: exact fractions."""

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

PRICES = """
kind: Price
name: e2e/plain-2010
spec:
  provider: e2e
  model: plain
  aliases: [plain-latest]
  effective_from: 2010-01-01T00:00:00Z
  usd_per_million_tokens: {input: 2.5, output: 12.125, cache_read: 0.25, reasoning: 15}
---
kind: Price
name: e2e/plain-2024
spec:
  provider: e2e
  model: plain
  aliases: [plain-latest]
  effective_from: 2024-07-01T00:00:00Z
  usd_per_million_tokens: {input: 1.75, output: 14}
  context_tiers:
    - {above_input_tokens: 5000, usd_per_million_tokens: {input: 3.333333}}
  service_tiers: {batch: {multiplier: 0.5}}
---
kind: Price
name: e2e/cached
spec:
  provider: e2e
  model: cached
  effective_from: 2010-01-01T00:00:00Z
  usd_per_million_tokens: {input: 3, output: 15, cache_read: 0.3, cache_write_5m: 3.75}
"""

START_2024 = datetime(2024, 7, 1, tzinfo=UTC)
MILLION = 1_000_000
PICO = 10**12


@dataclass(frozen=True)
class Call:
    """One row of the table."""

    event_id: str
    occurred_at: datetime
    team: str
    model: str
    convention: str
    service_tier: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    reasoning_tokens: int

    def row(self) -> dict[str, Any]:
        return {
            **vars(self), "occurred_at": self.occurred_at.isoformat().replace("+00:00", "Z"), "provider": "e2e",
            "service": "svc", "project": "p", "environment": "prod", "cost_center": "cc",
        }  # fmt: skip

    def pico_usd(self) -> int:
        """Σ tokens × price, once rounded half-even to a pico-dollar."""
        read, write, reasoning = self.cache_read_tokens, self.cache_write_5m_tokens, self.reasoning_tokens
        inclusive = self.convention == "inclusive"
        fresh = self.input_tokens - (read + write if inclusive else 0)
        text = self.output_tokens - (reasoning if inclusive else 0)
        usd_per_million = _usd_per_million(self, fresh + read + write)
        amount = sum(
            tokens * Fraction(usd_per_million[kind]) / MILLION
            for kind, tokens in (("in", fresh), ("read", read), ("write", write), ("out", text), ("think", reasoning))
        )
        halved = self.service_tier == "batch"
        return round((amount / 2 if halved else amount) * PICO)


def _usd_per_million(call: Call, total_input: int) -> dict[str, str]:
    if call.model == "cached":
        return {"in": "3", "read": "0.3", "write": "3.75", "out": "15", "think": "15"}
    if call.occurred_at < START_2024:
        return {"in": "2.5", "read": "0.25", "write": "2.5", "out": "12.125", "think": "15"}
    base = "3.333333" if total_input > 5_000 else "1.75"
    return {"in": base, "read": base, "write": base, "out": "14", "think": "14"}


def calls(prefix: str, count: int, seed: int, team: str) -> list[Call]:
    """Random calls of the last fifteen years, some at the very instant at which a price begins."""
    rng = random.Random(seed)
    made = []
    for i in range(count):
        model = rng.choice(("plain", "plain-latest", "cached"))
        occurred = rng.choice((START_2024, START_2024 - timedelta(microseconds=1), _some_time(rng), _some_time(rng)))
        tiered = model != "cached" and occurred >= START_2024
        read, write, reasoning = rng.randrange(900), rng.randrange(300), rng.randrange(200)
        made.append(Call(
            f"{prefix}-{i}", occurred, f"{team}-{rng.randrange(3)}", model, rng.choice(("inclusive", "disjoint")),
            rng.choice(("", "standard", "batch")) if tiered else "",
            1_200 + rng.randrange(9_000), 200 + rng.randrange(4_000), read, write, reasoning,
        ))  # fmt: skip
    return made


def _some_time(rng: random.Random) -> datetime:
    # Attribution inserts charges a month at a time: a few far apart months say as much as all of them.
    month = datetime(rng.choice((2011, 2016, 2023, 2025)), rng.choice((2, 7, 12)), 1, tzinfo=UTC)
    return month + timedelta(microseconds=rng.randrange(28 * 86_400 * MILLION))


def table(rows: Sequence[Call]) -> str:
    """The rows as a usage CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0].row()))
    writer.writeheader()
    writer.writerows(call.row() for call in rows)
    return out.getvalue()


def usd_by_team(rows: Sequence[Call]) -> dict[str, Decimal]:
    """Exact dollars of each team."""
    found: dict[str, int] = {}
    for call in rows:
        found[call.team] = found.get(call.team, 0) + call.pico_usd()
    return {team: Decimal(pico).scaleb(-12) for team, pico in found.items()}
