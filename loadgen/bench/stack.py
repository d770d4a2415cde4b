"""Broker and ClickHouse of a bench, as `spendstream stack up` starts them, and a clean slate between two drains."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import clickhouse_connect
from aiokafka.admin import AIOKafkaAdminClient

from loadgen.bench.processes import BenchError, Child, free_port, wait_for

READY_WITHIN_S = 120.0
DATABASE = "spendstream"
#: What attribution writes. `usage` and `control` stay: they are what every drain starts from.
WRITTEN_TOPICS = ("attribution-plans", "costs", "usage-dlq")


class Stack:
    """A stack in a folder of its own, on free ports."""

    def __init__(self, home: Path, broker: str) -> None:
        self.home, self.broker = home, broker
        kafka_port, clickhouse_port = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{kafka_port}"
        self._clickhouse_port = clickhouse_port
        self.environment = {
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "CLICKHOUSE_URL": f"http://127.0.0.1:{clickhouse_port}",
            "SPENDSTREAM_HOME": str(home / "stack"),
        }
        ready = home / "ready"
        command = [
            *("stack", "up", "--broker", broker, "--kafka-port", str(kafka_port)),
            *("--clickhouse-port", str(clickhouse_port), "--ready-file", str(ready)),
        ]
        self._child = Child("the stack", spendstream(*command), home / "stack.log", self.environment)
        try:
            wait_for("the stack", lambda: ready.exists() or None, self._child, READY_WITHIN_S)
        except BaseException:
            self._child.stop()
            raise

    def stop(self) -> None:
        self._child.stop()

    @property
    def pids(self) -> list[int]:
        """Broker and ClickHouse."""
        state = json.loads((self.home / "stack" / "stack.json").read_text())
        return [pid for name, pid in state["pids"].items() if name != "supervisor"]

    def run(self, *arguments: str) -> None:
        """One `spendstream` command; `BenchError` with its words when it fails."""
        done = subprocess.run(
            spendstream(*arguments), env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"spendstream {' '.join(arguments)}: {done.stderr or done.stdout}")

    def clickhouse(self, database: str = "default") -> Any:
        """A client of its own (they are not to be shared between threads)."""
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self._clickhouse_port, database=database, autogenerate_session_id=False
        )

    def clean_slate(self) -> None:
        """Forget everything an earlier drain has written: result topics and the whole database, made anew."""
        asyncio.run(_delete_topics(self.bootstrap, WRITTEN_TOPICS))
        self.run("topics", "apply")
        self.clickhouse().command(f"drop database if exists {DATABASE} sync")
        self.run("migrate")


def spendstream(*arguments: str) -> list[str]:
    """The command line of the program under test."""
    return [sys.executable, "-m", "spendstream", *arguments]


async def _delete_topics(bootstrap: str, names: Sequence[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([name for name in names if name in set(await admin.list_topics())])
    finally:
        await admin.close()
