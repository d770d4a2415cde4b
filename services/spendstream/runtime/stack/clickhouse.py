"""The ClickHouse endpoint as a child process."""

from __future__ import annotations

import importlib.util
import sys
import urllib.request
from pathlib import Path

from spendstream.runtime.stack.child import Child
from spendstream.runtime.stack.ports import LOOPBACK, require_free

_SOURCE_ROOT = Path(__file__).resolve().parents[3]


class EngineMissingError(RuntimeError):
    """chDB is not installed; the text says how to install it."""


class ClickHouse:
    """One endpoint on a port of 127.0.0.1; the same data folder may be started again after any end."""

    name = "clickhouse"

    def __init__(
        self, port: int, data: Path, port_setting: str = "--clickhouse-port", user: str = "default", password: str = ""
    ) -> None:
        self.port = port
        self._port_setting = port_setting
        self._data = data.resolve()
        self._user, self._password = user, password
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """For CLICKHOUSE_URL."""
        account = f"{self._user}:{self._password}@" if self._password else ""
        return f"http://{account}{LOOPBACK}:{self.port}"

    @property
    def child(self) -> Child:
        """The process; RuntimeError before `start`."""
        if self._child is None:
            raise RuntimeError("the ClickHouse endpoint was not started")
        return self._child

    def start(self) -> None:
        """Spawn."""
        if importlib.util.find_spec("chdb") is None:
            raise EngineMissingError(
                "the embedded ClickHouse engine is not installed; pip install 'spendstream[embedded]'"
            )
        require_free(self.port, self._port_setting)
        module = "spendstream.runtime.stack.clickhouse_http"
        command = [sys.executable, "-m", module, "--data", str(self._data), "--port", str(self.port)]
        account = {"SPENDSTREAM_ENDPOINT_PASSWORD": self._password} if self._password else {}
        self._child = Child(
            self.name,
            [*command, "--user", self._user],
            self._data / "endpoint.log",
            {"PYTHONPATH": str(_SOURCE_ROOT), **account},
        )
        self._child.start()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Until it answers /ping."""
        self.child.wait_ready(self._pings, timeout)

    def stop(self) -> None:
        """Let running queries finish, then end."""
        if self._child:
            self._child.stop(within=40.0)

    def kill9(self) -> None:
        """SIGKILL, for fault tests."""
        self.child.kill9()

    def _pings(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/ping", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
