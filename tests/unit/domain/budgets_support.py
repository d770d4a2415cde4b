"""What the budget tests share: documents in one line, deltas from short rows, an independent way to count."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from spendstream.domain.budgets import Budget, BudgetEngine, parse_budget
from spendstream.domain.budgets.model import DIMENSIONS

USD = 10**12
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SCHEMA = dict.fromkeys(DIMENSIONS, pl.String) | {"minute": pl.Int64, "cost_pico_usd": pl.Int64}
PLAIN = {
    "org": "default",
    "team": "search",
    "project": "ranking",
    "environment": "prod",
    "cost_center": "cc-1",
    "service": "chat",
    "provider": "openai",
    "model": "gpt-5.5",
}

Row = tuple[int, int, Mapping[str, str]]


def at(text: str) -> int:
    """`2026-03-02 14:30` UTC in microseconds."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1_000_000


def budget(name: str = "b", org: str = "default", **spec: Any) -> Budget:
    """A valid budget: team search, a hundred dollars an hour, unless said otherwise."""
    parsed, errors = parse_budget(org, name, {"scope": {"team": "search"}, "window": "hour", "amount_usd": 100} | spec)
    assert parsed is not None, errors
    return parsed


def deltas(rows: Iterable[Row]) -> pl.DataFrame:
    """Cost differences from (minute, pico-dollars, other dimension values)."""
    return pl.DataFrame(
        [PLAIN | dict(values) | {"minute": minute, "cost_pico_usd": pico} for minute, pico, values in rows],
        schema=SCHEMA,
    )


def spend(minute: int, usd: int | float, **values: str) -> pl.DataFrame:
    """One difference of `usd` dollars."""
    return deltas([(minute, round(usd * 100) * USD // 100, values)])


def engine(*budgets: Budget, now: int = 0) -> BudgetEngine:
    return BudgetEngine.initialise(budgets, now)[0]


def fired(alerts: Sequence[Mapping[str, Any]]) -> list[float]:
    """The levels among published states, in order."""
    return [alert["level"] for alert in alerts if alert["state"] == "firing"]


def states(alerts: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(alert["state"], alert["severity"]) for alert in alerts]
