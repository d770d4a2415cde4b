"""The sides of a bench: how each is started, and how it says that it has partitions and how far it has published."""

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from loadgen.bench.processes import Child, free_port
from loadgen.bench.stack import Stack, spendstream

OUTCOME = re.compile(r'^spendstream_events_total\{.*outcome="(\w+)".*\} (\S+)$', re.MULTILINE)
SPENDSTREAM, IDIOMATIC = "spendstream", "faust"


class Contender(Protocol):
    """One running side."""

    child: Child

    def assigned_at(self) -> float | None:
        """Unix seconds since when it has had partitions, or None."""

    def published(self) -> int:
        """Events whose `costs` the broker has."""


class Spendstream:
    """`spendstream run attribution`, fresh home, default settings."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        environment = {
            **stack.environment,
            "SPENDSTREAM_HOME": str(folder / "home"),
            "SPENDSTREAM_HTTP_PORT": str(port),
        }
        self.child = Child(SPENDSTREAM, spendstream("run", "attribution"), folder / "service.log", environment)
        self._waited_until = time.time()
        self._assigned_at: float | None = None

    def assigned_at(self) -> float | None:
        """When it last said that it waits for partitions: a little too early, which counts against us."""
        if self._assigned_at is None:
            asked_at = time.time()
            if self._waits():
                self._waited_until = asked_at
            else:
                self._assigned_at = self._waited_until
        return self._assigned_at

    def _waits(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=5) as answer:  # noqa: S310
                return bool(answer.status != 200)
        except urllib.error.HTTPError as error:
            return any(not name.startswith("attribution-ledger") for name in json.load(error)["waiting_for"])
        except OSError:
            return True

    def published(self) -> int:
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=30) as answer:  # noqa: S310
            found = OUTCOME.findall(answer.read().decode())
        return int(sum(float(count) for _, count in found))


class Peer:
    """A program of `peers/`."""

    def __init__(
        self, name: str, stack: Stack, folder: Path, prices: Path, python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        module, options = PEERS[name]
        self._status = folder / "status.json"
        sources = os.pathsep.join(str(path) for path in source_roots())
        environment = {
            **stack.environment, **options, "PYTHONPATH": sources, "BENCH_PRICES": str(prices),
            "BENCH_STATUS": str(self._status), "BENCH_GROUP": f"bench-{name}-{uuid.uuid4().hex[:8]}",
        }  # fmt: skip
        command = [python, "-m", f"loadgen.bench.peers.{module}", *(["worker"] if module == "faust_agent" else [])]
        self.child = Child(name, command, folder / "peer.log", environment)

    def assigned_at(self) -> float | None:
        return self._read().get("assigned_at")

    def published(self) -> int:
        return int(self._read().get("published") or 0)

    def _read(self) -> dict[str, float]:
        if not self._status.exists():
            return {}
        content: dict[str, float] = json.loads(self._status.read_text())
        return content


#: Name of a side → module in peers/, and what it is told.
PEERS: dict[str, tuple[str, dict[str, str]]] = {
    IDIOMATIC: ("faust_agent", {}),
    "faust-table": ("faust_agent", {"BENCH_TABLE": "1"}),
}


def source_roots() -> list[Path]:
    """Where `loadgen` and `spendstream` are imported from."""
    import spendstream.schemas  # noqa: PLC0415

    return [Path(__file__).resolve().parents[2], Path(spendstream.schemas.__file__).resolve().parents[2]]


def start(name: str, stack: Stack, folder: Path, prices: Path) -> Contender:
    """Start a side by name."""
    folder.mkdir(parents=True)
    return Spendstream(stack, folder) if name == SPENDSTREAM else Peer(name, stack, folder, prices)


def why_not(name: str) -> str | None:
    """Why a side cannot run here; None when it can."""
    return None if name in PEERS else f"there is no such side; there are {', '.join(PEERS)}"
