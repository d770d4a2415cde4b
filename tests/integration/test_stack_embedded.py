"""The embedded stack as a whole."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest

from spendstream.runtime.resources import shipped
from spendstream.runtime.stack.embedded import EmbeddedStack, read_state
from spendstream.runtime.stack.folder_lock import FolderInUseError
from spendstream.runtime.stack.kafka_probe import serves
from spendstream.runtime.stack.ports import PortTakenError, free_port
from tests.support.stack import eventually, require_embedded

pytestmark = pytest.mark.embedded


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[EmbeddedStack]:
    require_embedded()
    stack = EmbeddedStack(tmp_path / "home", "tansu", free_port(), free_port())
    yield stack
    stack.stop()


@pytest.mark.long  # a promise about an idle machine
def test_it_is_ready_within_eight_seconds(stack: EmbeddedStack) -> None:
    begun = time.monotonic()
    stack.start()
    stack.wait()
    assert time.monotonic() - begun < 8
    assert serves(stack.broker.port)
    assert clickhouse_connect.get_client(dsn=stack.clickhouse_url).command("SELECT 1") == 1


def test_stack_json_says_where_it_is_until_it_stops(stack: EmbeddedStack) -> None:
    assert read_state(stack.home) is None
    stack.start()
    stack.wait()
    state = read_state(stack.home)
    assert state is not None
    assert (state.kafka_bootstrap, state.clickhouse_url) == (stack.bootstrap, stack.clickhouse_url)
    assert set(state.pids) == {"tansu", "clickhouse", "supervisor"}
    stack.stop()
    assert read_state(stack.home) is None
    assert not (stack.home / "stack.json").exists()


def test_a_dead_part_is_not_reported_as_running(stack: EmbeddedStack) -> None:
    stack.start()
    stack.wait()
    stack.broker.kill9()
    assert read_state(stack.home) is None


def test_two_stacks_in_one_home_are_refused(stack: EmbeddedStack) -> None:
    stack.start()
    stack.wait()
    second = EmbeddedStack(stack.home, "tansu", free_port(), free_port())
    with pytest.raises(FolderInUseError, match=rf"in use by process {os.getpid()}"):
        second.start()
    second.stop()
    assert read_state(stack.home) is not None


def test_a_taken_port_leaves_nothing_running_and_the_home_free(stack: EmbeddedStack, tmp_path: Path) -> None:
    stack.start()
    stack.wait()
    other = EmbeddedStack(tmp_path / "other", "tansu", free_port(), stack.clickhouse.port)
    with pytest.raises(PortTakenError, match="--clickhouse-port"):
        other.start()
    assert not other.broker.child.running
    EmbeddedStack(tmp_path / "other", "tansu", free_port(), free_port()).claim()


def test_the_tables_are_still_there_after_a_restart(stack: EmbeddedStack) -> None:
    stack.start()
    stack.wait()
    client = clickhouse_connect.get_client(dsn=stack.clickhouse_url)
    client.command("CREATE TABLE kept ENGINE = MergeTree ORDER BY number AS SELECT number FROM numbers(1000)")
    stack.stop()
    stack.start()
    stack.wait()
    client = clickhouse_connect.get_client(dsn=stack.clickhouse_url)
    assert client.command("SELECT count() FROM kept") == 1000


def test_kill_9_of_the_owner_frees_home_and_ports(tmp_path: Path) -> None:
    require_embedded()
    home, kafka_port, clickhouse_port = tmp_path / "home", free_port(), free_port()
    code = (
        "import time; from pathlib import Path; from spendstream.runtime.stack.embedded import EmbeddedStack\n"
        f"s = EmbeddedStack(Path({str(home)!r}), 'tansu', {kafka_port}, {clickhouse_port})\n"
        "s.start(); s.wait(); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "services"})
    eventually(lambda: read_state(home))
    owner.kill()
    owner.wait()
    stack = EmbeddedStack(home, "tansu", kafka_port, clickhouse_port)

    def started() -> bool:
        stack.start()
        return True

    eventually(started)
    stack.wait()
    stack.stop()


@pytest.mark.parametrize(("name", "file"), [("kafka", "pom.xml"), ("kafka", "server.properties")])
def test_shipped_files_are_found(name: str, file: str) -> None:
    assert (shipped(name) / file).is_file()
