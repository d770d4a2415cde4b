"""Apache Kafka itself: a single KRaft node from its published jars, durable on disk."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from spendstream.runtime.resources import shipped
from spendstream.runtime.stack import kafka_jars
from spendstream.runtime.stack.child import Child, NotReadyError
from spendstream.runtime.stack.kafka_probe import serves
from spendstream.runtime.stack.ports import LOOPBACK, free_port, require_free

# A small heap and a collector without threads of its own suit two cores that broker and services share.
_JVM = ["-Xms256m", "-Xmx768m", "-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData", "-Djava.awt.headless=true"]
# Only the formatting tool stops at the quick compiler: half a second saved, but a slower broker for ever after.
_QUICK_START = ["-XX:TieredStopAtLevel=1"]
_LOGGING = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]


class ApacheKafka:
    """One node on a port of 127.0.0.1; the same data folder may be started again after any end."""

    name = "kafka"

    def __init__(self, port: int, data: Path, port_setting: str = "--kafka-port", cache: Path | None = None) -> None:
        self.port = port
        self._port_setting = port_setting
        self._data = data.resolve()
        self._cache = cache or kafka_jars.default_cache()
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
        """Fetch the jars if need be, format an empty folder, spawn."""
        require_free(self.port, self._port_setting)
        jars = kafka_jars.jars(shipped("kafka"), self._cache)
        java = ["java", *_JVM, *_LOGGING, "-cp", f"{jars}/*"]
        properties = self._write_properties()
        if not (self._data / "logs" / "meta.properties").exists():
            self._format(java, properties)
        self._child = Child(self.name, [*java, "kafka.Kafka", str(properties)], self._data / "kafka.log")
        self._child.start()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Until it answers clients and counts itself as a live broker."""
        self.child.wait_ready(lambda: serves(self.port), timeout)

    def stop(self) -> None:
        """A controlled shutdown (no log recovery at the next start)."""
        if self._child:
            self._child.stop(within=15.0)

    def kill9(self) -> None:
        """SIGKILL, for fault tests."""
        self.child.kill9()

    def _write_properties(self) -> Path:
        self._data.mkdir(parents=True, exist_ok=True)
        controller = f"{LOOPBACK}:{free_port()}"
        lines = [
            (shipped("kafka") / "server.properties").read_text(),
            f"listeners=PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{controller}",
            f"advertised.listeners=PLAINTEXT://{LOOPBACK}:{self.port}",
            f"controller.quorum.voters=1@{controller}",
            f"log.dirs={self._data / 'logs'}",
        ]
        path = self._data / "server.properties"
        path.write_text("\n".join(lines) + "\n")
        return path

    def _format(self, java: list[str], properties: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [
            java[0],
            *_QUICK_START,
            *java[1:],
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",
            "-c",
            str(properties),
        ]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.returncode:
            raise NotReadyError(f"cannot format {self._data}:\n{told.stdout}{told.stderr}")
