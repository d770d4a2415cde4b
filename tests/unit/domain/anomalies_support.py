"""What the anomaly and recommendation tests share: cost deltas from short rows, a seeded world of ordinary traffic."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from spendstream.domain.anomalies import AnomalyEngine
from spendstream.domain.tokens import BUCKETS

USD = 10**12
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 1_900_000_000_000_000  # long after every event: a replay of the past
# Pico-dollars per token, input and output.
PRICES = {
    "gpt-5.5": (5_000_000, 30_000_000),
    "gpt-5.4": (2_500_000, 15_000_000),
    "claude-sonnet-4.6": (3_000_000, 15_000_000),
    "claude-haiku-4.5": (1_000_000, 5_000_000),
}
TEXT = [
    *("grain", "org", "team", "project", "environment", "cost_center", "service", "feature"),
    *("provider", "model", "category", "region", "tier", "user_id", "api_key_id"),
]
COUNTS = [
    *("events", "requests", "error_requests", "cache_hits", "priced_events", "partial_events", "unpriced_events"),
    *(f"{bucket}_tokens" for bucket in BUCKETS),
    *("cost_pico_usd", "error_cost_pico_usd", "latency_ms_sum", "uncapped_requests"),
]
SCHEMA = dict.fromkeys(TEXT, pl.String) | {"minute": pl.Int64} | dict.fromkeys(COUNTS, pl.Int64) | {"late": pl.Boolean}
PLAIN = {
    "grain": "owner",
    "org": "default",
    "team": "assistants",
    "service": "chat",
    "provider": "anthropic",
    "model": "claude-sonnet-4.6",
    "late": False,
}
START = 1_772_409_600_000_000  # 2026-03-02, a Monday, 00:00 UTC


def at(text: str) -> int:
    """`2026-03-02 14:00` UTC as microseconds."""
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp()) * 1_000_000


def deltas(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows that say only what matters; the rest is empty or zero."""
    blank: dict[str, Any] = dict.fromkeys(TEXT, "") | dict.fromkeys(COUNTS, 0) | PLAIN
    return pl.DataFrame([blank | dict(row) for row in rows], schema=SCHEMA)


def calls(minute: int, requests: int, tokens_in: int, tokens_out: int, **names: Any) -> dict[str, Any]:
    """A minute of `requests` equal calls at list price."""
    price_in, price_out = PRICES.get(names.get("model", PLAIN["model"]), (0, 0))
    return {
        "minute": minute,
        "events": requests,
        "requests": requests,
        "input_uncached_tokens": requests * tokens_in,
        "output_text_tokens": requests * tokens_out,
        "cost_pico_usd": requests * (tokens_in * price_in + tokens_out * price_out),
        **names,
    }


def steady(since: int, until: int, requests: int, tokens_in: int, tokens_out: int, **names: Any) -> pl.DataFrame:
    """The same minute over and over, give or take a tenth (the same tenth every time)."""
    jitter = np.random.default_rng(7).uniform(0.9, 1.1, (until - since) // MINUTE)
    return deltas(
        calls(since + i * MINUTE, round(requests * factor), tokens_in, tokens_out, **names)
        for i, factor in enumerate(jitter)
    )


def in_time(*parts: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(parts).sort("minute", maintain_order=True)


def ordinary_world(seed: int, days: int, series: int) -> pl.DataFrame:
    """Bursty traffic as production has it: day and night (up to five-fold), quieter weekends, a wandering level, gamma
    bursts, long-tailed token lengths; 0.5 to 200 requests a minute."""
    random = np.random.default_rng(seed)
    minutes = np.arange(days * 1440)
    return in_time(*(_series(random, minutes, i) for i in range(series)))


def _series(random: np.random.Generator, minutes: Any, i: int) -> pl.DataFrame:
    model = list(PRICES)[i % len(PRICES)]
    day = random.uniform(0.3, 0.8) * np.sin(2 * np.pi * (minutes + random.uniform(0, 1440)) / 1440)
    weekend = np.where(minutes // 1440 % 7 >= 5, random.uniform(0.3, 0.9), 1.0)
    level = np.zeros(len(minutes) // 5 + 1)
    for step, shock in enumerate(random.normal(0, 0.15, len(level) - 1)):
        level[step + 1] = 0.9 * level[step] + shock
    burst = random.gamma(4, 0.25, len(minutes))
    mean = 10 ** random.uniform(-0.3, 2.3) * np.exp(day + np.repeat(level, 5)[: len(minutes)]) * weekend * burst
    requests = random.poisson(mean)
    active = requests > 0
    shape = requests[active] / random.uniform(0.8, 2.0) ** 2
    tokens_in = np.rint(random.gamma(shape) * 10 ** random.uniform(2.5, 3.8) * requests[active] / shape).astype(
        np.int64
    )
    tokens_out = np.rint(random.gamma(shape) * 10 ** random.uniform(1.8, 3.2) * requests[active] / shape).astype(
        np.int64
    )
    price_in, price_out = PRICES[model]
    frame = pl.DataFrame(
        {
            "minute": START + minutes[active] * MINUTE,
            "requests": requests[active],
            "events": requests[active],
            "input_uncached_tokens": tokens_in,
            "output_text_tokens": tokens_out,
            "cost_pico_usd": tokens_in * price_in + tokens_out * price_out,
        }
    )
    names = PLAIN | {"team": f"team-{i % 6}", "service": f"service-{i}", "model": model}
    missing = [
        pl.lit(names.get(name, 0 if kind == pl.Int64 else ""), dtype=kind).alias(name)
        for name, kind in SCHEMA.items()
        if name not in frame.columns
    ]
    return frame.with_columns(missing).select(list(SCHEMA))


def minute_by_minute(engine: AnomalyEngine, rows: pl.DataFrame, now: int = NOW) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = []
    for part in rows.partition_by("minute", maintain_order=True):
        alerts += engine.update(part, now)
    return alerts


def opened(alerts: Iterable[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [alert for alert in alerts if alert["name"] == name and alert["revision"] == 1]


def timeless(alerts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Alerts without the clock."""
    return [{key: value for key, value in alert.items() if key != "emitted_at"} for alert in alerts]
