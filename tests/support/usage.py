"""Usage records for tests, with amounts a reader can check in the head."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

from spendstream.schemas import encode

PRICES = """
kind: Price
name: test/small
spec:
  provider: test
  model: small
  effective_from: 2020-01-01T00:00:00Z
  usd_per_million_tokens: {input: 1, output: 3}
"""


def now_us() -> int:
    return time.time_ns() // 1_000


def usage(event_id: str, **fields: Any) -> dict[str, Any]:
    """A call of 1 000 + 100 tokens on test/small: 1 000 × $1/M + 100 × $3/M = $0.0013."""
    return {
        "event_id": event_id, "occurred_at": now_us(), "team": "search", "project": "rank", "environment": "prod",
        "cost_center": "cc-1", "service": "ranker", "provider": "test", "model": "small",
        "input_tokens": 1_000, "output_tokens": 100, **fields,
    }  # fmt: skip


def message(record: dict[str, Any]) -> tuple[bytes, bytes]:
    return record["event_id"].encode(), encode("Usage", record)


def numbered(prefix: str, count: int, **fields: Any) -> Iterator[tuple[bytes, bytes]]:
    """`count` messages with ids prefix-0, prefix-1, …"""
    for i in itertools.islice(itertools.count(), count):
        yield message(usage(f"{prefix}-{i}", **fields))
