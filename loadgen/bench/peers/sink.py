"""Where a contender writes: rows by clickhouse-connect, and a status file that tells the bench how far it is."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect

from loadgen.bench.peers.per_event import CALLER, CHARGES, OWNER, SUMS, Batch, usd, utc

DATABASE = "spendstream"
PLACE = ("incarnation", "source_partition", "epoch", "last_offset", "late")
CALLER_SUMS = ("events", "requests", "error_requests", "cost_pico_usd")


@dataclass(frozen=True)
class Job:
    """What the bench tells a contender, by environment variables."""

    bootstrap: str
    clickhouse_url: str
    prices: Path
    status: Path
    group: str

    @classmethod
    def from_environment(cls) -> "Job":
        value = os.environ
        return cls(
            value["KAFKA_BOOTSTRAP"], value["CLICKHOUSE_URL"], Path(value["BENCH_PRICES"]), Path(value["BENCH_STATUS"]),
            value["BENCH_GROUP"],
        )  # fmt: skip


class Status:
    """A file with when partitions were assigned (Unix seconds) and for how many events `costs` are with the broker."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._assigned_at: float | None = None
        self._published = 0

    def assigned(self) -> None:
        if self._assigned_at is None:
            self._assigned_at = time.time()
            self._write()

    def published(self, events: int) -> None:
        self._published += events
        self._write()

    def _write(self) -> None:
        draft = self._path.with_suffix(".part")
        draft.write_text(json.dumps({"assigned_at": self._assigned_at, "published": self._published}))
        draft.replace(self._path)


class ClickHouseSink:
    """Inserts batches of rows; one instance a thread."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._client: Any = clickhouse_connect.get_client(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 8123,
            database=DATABASE,
            autogenerate_session_id=False,
        )

    def write(self, batch: Batch, records: list[dict[str, Any]]) -> None:
        """The charges of a flush and the roll-up rows it has changed (`Batch.records`)."""
        if batch.charges:
            self._client.insert("charges", batch.charges, column_names=CHARGES)
        for grain, table, dimensions, sums in (
            ("owner", "cost_by_minute", OWNER, SUMS),
            ("caller", "caller_cost_by_minute", CALLER, CALLER_SUMS),
        ):
            rows = [_row(row, (*dimensions, *PLACE), sums) for row in records if row["grain"] == grain]
            if rows:
                names = [name.replace("pico_usd", "usd") for name in sums]
                self._client.insert(table, rows, column_names=("minute", *dimensions, *PLACE, *names))


def _row(row: Mapping[str, Any], names: tuple[str, ...], sums: tuple[str, ...]) -> list[Any]:
    values = (usd(row[name]) if name.endswith("_pico_usd") else row[name] for name in sums)
    return [utc(row["minute"]), *(row[name] for name in names), *values]
