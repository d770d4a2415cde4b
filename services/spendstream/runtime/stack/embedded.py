"""The embedded stack: one broker and one ClickHouse endpoint in one home folder."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from spendstream.runtime.stack.apache_kafka import ApacheKafka
from spendstream.runtime.stack.clickhouse import ClickHouse
from spendstream.runtime.stack.folder_lock import FolderLock
from spendstream.runtime.stack.ports import answers, claim, unclaim
from spendstream.runtime.stack.processes import Member, Progress
from spendstream.runtime.stack.tansu import Tansu

Broker = Literal["tansu", "kafka"]
STATE_FILE = "stack.json"


@dataclass(frozen=True, slots=True)
class StackState:
    """What ``home/stack.json`` says, for other processes."""

    broker: Broker
    kafka_bootstrap: str
    clickhouse_url: str
    home: str
    pids: dict[str, int]
    started_at: float


class EmbeddedStack:
    """``start`` spawns, ``wait`` blocks until both answer, ``stop`` ends both. One stack per home."""

    def __init__(
        self, home: Path, broker: Broker = "tansu", kafka_port: int = 19092, clickhouse_port: int = 18123
    ) -> None:
        self.home = home.resolve()
        self.broker: Tansu | ApacheKafka = (
            Tansu(kafka_port, self.home / "tansu")
            if broker == "tansu"
            else ApacheKafka(kafka_port, self.home / "kafka")
        )
        self.clickhouse = ClickHouse(clickhouse_port, self.home / "clickhouse")
        self._ports = (kafka_port, clickhouse_port)
        self._lock: FolderLock | None = None

    @property
    def bootstrap(self) -> str:
        """For KAFKA_BOOTSTRAP."""
        return self.broker.bootstrap

    @property
    def clickhouse_url(self) -> str:
        """For CLICKHOUSE_URL."""
        return self.clickhouse.url

    @property
    def members(self) -> tuple[Member, ...]:
        """Both, for a `Supervisor` that shall watch them: one stage, since neither needs the other."""
        return (self.broker, self.clickhouse)

    def claim(self) -> None:
        """Lock the home; FolderInUseError names the process that has it."""
        self._lock = self._lock or FolderLock(self.home, "stack.lock", "an embedded stack")

    def start(self) -> None:
        """Claim the home and spawn both; whatever goes wrong leaves nothing running."""
        self.claim()
        try:
            for member in self.members:
                member.start()
        except BaseException:
            self.stop()
            raise

    def wait(self, timeout: float = 120.0, progress: Progress = lambda name, what: None) -> None:
        """Until both answer; then ``stack.json`` is there."""
        deadline = time.monotonic() + timeout
        for member in self.members:
            member.wait_ready(max(0.1, deadline - time.monotonic()))
            progress(member.name, "ready")
        self.write_state()

    def write_state(self) -> None:
        """Write ``home/stack.json`` (in one step, so a reader never sees half of it)."""
        pids = {member.name: pid for member in self.members if (pid := member.child.pid) is not None}
        state = StackState(
            "tansu" if isinstance(self.broker, Tansu) else "kafka",
            self.bootstrap,
            self.clickhouse_url,
            str(self.home),
            pids | {"supervisor": os.getpid()},
            time.time(),
        )
        draft = self.home / f".{STATE_FILE}.{os.getpid()}"
        draft.write_text(json.dumps(asdict(state), indent=2) + "\n")
        draft.replace(self.home / STATE_FILE)
        for port in self._ports:
            claim(port, self.home)

    def stop(self) -> None:
        """Stop what runs, remove ``stack.json``, let the home go."""
        self.clickhouse.stop()
        self.broker.stop()
        self.release()

    def release(self) -> None:
        """Give the home back (after a `Supervisor` has stopped the members)."""
        if self._lock:
            for port in self._ports:
                unclaim(port, self.home)
            (self.home / STATE_FILE).unlink(missing_ok=True)
            self._lock.release()
            self._lock = None


def read_state(home: Path) -> StackState | None:
    """The stack that runs in ``home``; None where none does (a file left by ``kill -9`` does not count)."""
    try:
        state = StackState(**json.loads((home / STATE_FILE).read_text()))
        ports = [int(url.rsplit(":", 1)[1]) for url in (state.kafka_bootstrap, state.clickhouse_url)]
    except (OSError, ValueError, TypeError, IndexError):  # none, or one that another version wrote
        return None
    alive = all(Path(f"/proc/{pid}").exists() or not Path("/proc").exists() for pid in state.pids.values())
    return state if alive and all(map(answers, ports)) else None
