"""The ClickHouse endpoint killed, stopped, overfed and asked for twice."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from spendstream.runtime.stack.child import NotReadyError
from spendstream.runtime.stack.clickhouse import ClickHouse
from spendstream.runtime.stack.ports import PortTakenError, free_port
from tests.support.stack import PATIENCE_S, eventually, require_embedded

pytestmark = pytest.mark.embedded


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[ClickHouse]:
    require_embedded()
    endpoint = ClickHouse(free_port(), tmp_path / "clickhouse")
    endpoint.start()
    endpoint.wait_ready(PATIENCE_S)
    yield endpoint
    endpoint.stop()


def connect(endpoint: ClickHouse) -> Client:
    return clickhouse_connect.get_client(dsn=endpoint.url)


def make_table(client: Client) -> None:
    client.command(
        "CREATE TABLE t (a Int64, b Float64) ENGINE = MergeTree ORDER BY a "
        "SETTINGS non_replicated_deduplication_window = 1000"
    )


def block(first: int, rows: int = 10_000) -> pa.Table:
    return pa.table({"a": np.arange(first, first + rows), "b": np.arange(rows, dtype=float)})


def insert(client: Client, number: int) -> None:
    client.insert_arrow("t", block(number * 10_000), settings={"insert_deduplication_token": f"block-{number}"})


def restart(endpoint: ClickHouse) -> Client:
    endpoint.start()
    endpoint.wait_ready(PATIENCE_S)
    return connect(endpoint)


def test_what_was_acknowledged_survives_kill_9_and_a_repeated_token_still_changes_nothing(endpoint: ClickHouse) -> None:
    client = connect(endpoint)
    make_table(client)
    for number in range(5):
        insert(client, number)
    endpoint.kill9()
    client = restart(endpoint)
    assert client.command("SELECT count() FROM t") == 50_000
    for number in range(5):
        insert(client, number)
    assert client.query("SELECT count(), sum(a) FROM t").result_rows == [(50_000, sum(range(50_000)))]


def test_kill_9_in_the_middle_of_inserts_loses_no_acknowledged_block_and_tears_none(endpoint: ClickHouse) -> None:
    client = connect(endpoint)
    make_table(client)
    acknowledged: list[int] = []

    def insert_for_ever() -> None:
        try:
            for number in range(10_000):
                insert(client, number)
                acknowledged.append(number)
        except Exception:
            return

    thread = threading.Thread(target=insert_for_ever)
    thread.start()
    eventually(lambda: len(acknowledged) >= 20)
    endpoint.kill9()
    thread.join()
    client = restart(endpoint)
    per_block = client.query("SELECT intDiv(a, 10000) AS block, count() FROM t GROUP BY block").result_rows
    assert {rows for _, rows in per_block} == {10_000}
    assert set(acknowledged) <= {number for number, _ in per_block}
    for number in range(len(acknowledged) + 1):
        insert(client, number)
    assert client.command("SELECT count() FROM t") == (len(acknowledged) + 1) * 10_000


def test_sigterm_lets_a_running_query_finish(endpoint: ClickHouse) -> None:
    results: list[object] = []
    slow = threading.Thread(target=lambda: results.append(connect(endpoint).command("SELECT sleep(3) + 7")))
    slow.start()
    watcher = connect(endpoint)
    eventually(lambda: watcher.command("SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep%'") == 1)
    endpoint.child.terminate()
    slow.join()
    assert results == [7]
    assert eventually(lambda: endpoint.child.exit_code() is not None)
    assert endpoint.child.exit_code() == 0


def test_a_folder_in_use_is_refused_naming_the_process(endpoint: ClickHouse, tmp_path: Path) -> None:
    second = ClickHouse(free_port(), tmp_path / "clickhouse")
    second.start()
    with pytest.raises(NotReadyError, match=rf"in use by process {endpoint.child.pid} .*choose another folder"):
        second.wait_ready()
    assert second.child.exit_code() == 3


def test_the_lock_of_a_dead_process_is_no_obstacle(endpoint: ClickHouse, tmp_path: Path) -> None:
    endpoint.kill9()
    assert (tmp_path / "clickhouse" / "spendstream.lock").exists()
    assert restart(endpoint).command("SELECT 1") == 1


def test_a_taken_port_is_named_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {port} .*--clickhouse-port"):
            ClickHouse(port, tmp_path).start()


def test_the_port_is_bound_on_loopback_only(endpoint: ClickHouse) -> None:
    listening = subprocess.run(
        [sys.executable, "-c", "print(open('/proc/net/tcp').read())"], capture_output=True, text=True, check=True
    ).stdout
    addresses = [line.split()[1] for line in listening.splitlines() if f":{endpoint.port:04X} 00000000:0000" in line]
    assert addresses == [f"0100007F:{endpoint.port:04X}"]


def test_a_password_is_asked_for_in_every_way_clickhouse_takes_it(tmp_path: Path) -> None:
    require_embedded()
    endpoint = ClickHouse(free_port(), tmp_path / "clickhouse", user="ada", password="s3cret")
    endpoint.start()
    try:
        endpoint.wait_ready(PATIENCE_S)
        assert connect(endpoint).command("SELECT 1") == 1
        with pytest.raises(DatabaseError, match="516"):
            clickhouse_connect.get_client(host="127.0.0.1", port=endpoint.port, user="ada", password="wrong")
        curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
        url = f"http://127.0.0.1:{endpoint.port}/"
        ways = [
            ["-u", "ada:s3cret", f"{url}?query=SELECT+1"],
            ["-H", "X-ClickHouse-User: ada", "-H", "X-ClickHouse-Key: s3cret", f"{url}?query=SELECT+1"],
            [f"{url}?query=SELECT+1&user=ada&password=s3cret"],
            [f"{url}?query=SELECT+1"],
        ]
        codes = [subprocess.run([*curl, *way], capture_output=True, text=True, check=True).stdout for way in ways]
        assert codes == ["200", "200", "200", "403"]
    finally:
        endpoint.stop()


def resident_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def test_an_endless_body_is_refused_with_413_and_does_not_fill_memory(tmp_path: Path) -> None:
    require_embedded()
    port = free_port()
    command = [sys.executable, "-m", "spendstream.runtime.stack.clickhouse_http", "--data", str(tmp_path / "d")]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--max-body-mib", "16"],
        env={**os.environ, "PYTHONPATH": "services"},
        stderr=subprocess.DEVNULL,
    )
    try:
        client = eventually(lambda: clickhouse_connect.get_client(host="127.0.0.1", port=port))
        make_table(client)
        before = resident_mib(process.pid)
        curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-T", "-", "-X", "POST"]
        endless = subprocess.run(
            ["sh", "-c", f"yes '1,1' | head -c 2000000000 | {' '.join(repr(c) for c in curl)} "
             f"'http://127.0.0.1:{port}/?query=INSERT+INTO+t+FORMAT+CSV'"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert endless.stdout == "413"
        assert resident_mib(process.pid) - before < 200
        bomb = subprocess.run(
            ["sh", "-c", f"head -c 2000000000 /dev/zero | gzip -1 | {' '.join(repr(c) for c in curl)} "
             f"-H 'Content-Encoding: gzip' 'http://127.0.0.1:{port}/?query=INSERT+INTO+t+FORMAT+CSV'"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert bomb.stdout == "413"
        assert resident_mib(process.pid) - before < 200
        assert client.command("SELECT count() FROM t") == 0
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
