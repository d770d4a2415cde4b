"""A stack with topics and tables, and services as real processes that tests may kill."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest

from spendstream.runtime.clickhouse.client import connect
from spendstream.runtime.clickhouse.migrate import migrate
from spendstream.runtime.kafka.admin import apply_topics
from spendstream.runtime.kafka.publisher import Message, Publisher
from spendstream.runtime.resources import shipped
from spendstream.runtime.settings import Settings
from spendstream.runtime.stack.embedded import Broker
from spendstream.runtime.stack.ports import free_port
from tests.support.stack import (
    PATIENCE_S,
    Stack,
    eventually,
    require_embedded,
    require_kafka,
    running_stack,
    stopped_home,
)


class RunningService:
    """One `spendstream run X` process."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        self.name, self.log = name, log
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self, wait: bool = True) -> None:
        """Spawn; returns when /readyz says so."""
        self._port = free_port()
        command = [sys.executable, "-m", "spendstream", "run", self.name]
        environment = {**self._environment, "SPENDSTREAM_HTTP_PORT": str(self._port)}
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        if wait:
            eventually(self.is_ready)

    def is_ready(self) -> bool:
        """True once partitions are assigned and loaded; fails when the process has ended."""
        assert self.running, f"{self.name} ended:\n{self.tail()}"
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill9(self) -> None:
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM and wait; returns the exit code."""
        self._signal(signal.SIGTERM)
        assert self._process is not None
        return self._process.returncode

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Installation:
    """Everything a test needs to talk to a running system from outside."""

    def __init__(self, stack: Stack, environment: Mapping[str, str] | None = None) -> None:
        self.stack = stack
        self.environment = {
            "KAFKA_BOOTSTRAP": stack.bootstrap,
            "CLICKHOUSE_URL": stack.clickhouse_url,
            "SPENDSTREAM_HOME": str(stack.home),
            "SPENDSTREAM_LOG_FORMAT": "console",
            **(environment or {}),
        }
        self.settings = Settings(
            KAFKA_BOOTSTRAP=stack.bootstrap, CLICKHOUSE_URL=stack.clickhouse_url, SPENDSTREAM_HOME=stack.home
        )
        self.services: dict[str, RunningService] = {}
        asyncio.run(apply_topics(self.settings))
        migrate(self.settings, shipped("clickhouse"))

    def service(self, name: str, instance: str = "") -> RunningService:
        """The process of a service (not started by this)."""
        label = name + instance
        if label not in self.services:
            environment = dict(self.environment)
            if instance:
                environment["SPENDSTREAM_HOME"] = str(self.stack.home / instance)
            self.services[label] = RunningService(name, environment, self.stack.home / f"{label}.log")
        return self.services[label]

    def run(self, *arguments: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """One `spendstream …` command against this installation."""
        done = subprocess.run(
            [sys.executable, "-m", "spendstream", *arguments],
            env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def publish(self, topic: str, messages: Iterable[Message], partition: int | None = None) -> None:
        """Send (key, value) pairs and wait for the broker."""

        async def send() -> None:
            publisher = Publisher(self.settings)
            await publisher.start()
            try:
                await publisher.send(topic, messages, partition)
            finally:
                await publisher.stop()

        asyncio.run(send())

    @cached_property
    def _clickhouse(self) -> Any:
        return connect(self.settings)

    def query(self, sql: str) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = self._clickhouse.query(sql).result_rows
        return rows

    def value(self, sql: str) -> Any:
        """The one value of a query."""
        return self.query(sql)[0][0]

    def until(self, sql: str, expected: Callable[[Any], bool], timeout: float = PATIENCE_S) -> Any:
        """Wait until the value of a query is as expected; the failure names the last one seen."""
        seen: list[Any] = []

        def arrived() -> bool:
            seen[:] = [self.value(sql)]
            return expected(seen[0])

        try:
            eventually(arrived, timeout, every=0.3)
        except AssertionError as error:
            tails = "\n\n".join(f"--- {s.name}\n{s.tail()}" for s in self.services.values() if s.log.exists())
            raise AssertionError(f"{sql}: last seen {seen}\n{tails}") from error
        return seen[0]

    def end(self) -> None:
        """Kill what still runs: nothing of it is kept."""
        for service in self.services.values():
            service.kill9()


Template = Callable[[Broker], Path]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A home with all tables (and, on Kafka, topics) and nothing in them; copying it takes a tenth of making it."""

    @cache
    def made(broker: Broker) -> Path:
        require_embedded()
        return stopped_home(broker, tmp_path_factory.mktemp(broker), Installation)

    return made


@pytest.fixture
def installation(template: Template) -> Iterator[Installation]:
    """A fresh embedded stack (Tansu) with topics and tables."""
    with installed("tansu", template) as made:
        yield made


@pytest.fixture
def kafka_installation(template: Template) -> Iterator[Installation]:
    """A fresh stack on Apache Kafka with topics and tables."""
    require_kafka()
    with installed("kafka", template) as made:
        yield made


@contextmanager
def installed(broker: Broker, template: Template) -> Iterator[Installation]:
    """An installation for the length of the block."""
    with running_stack(broker, template(broker)) as stack:
        made = Installation(stack)
        try:
            yield made
        finally:
            made.end()
