"""An installation as its user has it: `spendstream up` in one process, commands in others, nothing of ours imported."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import eventually, free_port, require_embedded

PROGRAM = [sys.executable, "-m", "spendstream"]
HORIZON_S = 1


class System:
    """`spendstream up` (or `stack up`) on ports and in a folder of its own; the folder outlives the process.

    Ids are forgotten after HORIZON_S, so that what must hold for ever is not held by deduplication alone.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.kafka_port, self.clickhouse_port = free_port(), free_port()
        self.environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP": f"127.0.0.1:{self.kafka_port}",
            "CLICKHOUSE_URL": f"http://127.0.0.1:{self.clickhouse_port}",
            "SPENDSTREAM_HOME": str(home),
            "SPENDSTREAM_DEDUP_HORIZON_S": str(HORIZON_S),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def up(self, *command: str) -> None:
        """Start and wait until every part is ready."""
        ready = self.home / "ready"
        ready.unlink(missing_ok=True)
        ports = ["--kafka-port", str(self.kafka_port), "--clickhouse-port", str(self.clickhouse_port)]
        with (self.home / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*PROGRAM, *command, *ports, "--ready-file", str(ready)],
                env=self.environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        eventually(ready.exists, every=0.1)

    def down(self) -> None:
        """Ctrl-C."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def start(self, *arguments: str, gives_way: bool = False) -> "subprocess.Popen[str]":
        """A command that is not waited for; `gives_way` to those who watch it, so that they see it half way."""
        command = [*(("nice", "-n", "5") if gives_way else ()), *PROGRAM, *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, code: int = 0, **environment: str) -> "subprocess.CompletedProcess[str]":
        """A command that ends with `code`."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            env={**self.environment, **environment}, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What a command with `--json` prints."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def query(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.json("query", sql)
        return rows

    def file(self, name: str, text: str) -> str:
        """Write a file the commands can be given."""
        path = self.home / name
        path.write_text(text)
        return str(path)


@pytest.fixture(scope="package")
def system() -> Iterator[System]:
    """A running installation that all tests share; each keeps to ids, teams and models of its own."""
    with_home = fresh_system()
    made = next(with_home)
    made.up("up", "--services", "attribution,budgets")
    yield made
    with_home.close()


@pytest.fixture
def stopped_system() -> Iterator[System]:
    """An installation of one's own that does not run yet."""
    yield from fresh_system()


def fresh_system() -> Iterator[System]:
    require_embedded()
    home = Path(tempfile.mkdtemp(prefix="spendstream-e2e-"))
    made = System(home)
    try:
        yield made
    finally:
        made.down()
        shutil.rmtree(home, ignore_errors=True)


def past_the_horizon(system: System) -> None:
    """Return once every id sent so far has been forgotten: the horizon has passed, and each partition has gone on."""
    since = time.monotonic()
    eventually(lambda: time.monotonic() > since + 2 * HORIZON_S)
    # Without event_id, the ids come from the content: another name in each row makes them new ones.
    rows = [f"2026-01-01T00:00:00Z,s,p,m,filler-{since}-{i}" for i in range(64)]
    path = system.file("filler.csv", "\n".join(["occurred_at,service,provider,model,team", *rows]))
    report = system.json("import", "usage", path)["files"][0]
    assert report["unpriced"] == len(rows)
