"""The ClickHouse endpoint as clickhouse-connect sees it, unmodified."""

from collections.abc import Iterator

import clickhouse_connect
import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

from tests.support.stack import Stack

pytest_plugins = ["tests.support.stack"]
pytestmark = pytest.mark.embedded


@pytest.fixture
def client(tansu_stack: Stack) -> Iterator[Client]:
    client = clickhouse_connect.get_client(dsn=tansu_stack.clickhouse_url)
    yield client
    client.close()


@pytest.fixture
def numbers(client: Client) -> str:
    client.command("DROP TABLE IF EXISTS numbers_in")
    client.command(
        "CREATE TABLE numbers_in (a Int64, b Float64) ENGINE = MergeTree ORDER BY a "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    return "numbers_in"


def block(first: int, rows: int = 1000) -> pa.Table:
    return pa.table({"a": np.arange(first, first + rows), "b": np.arange(rows, dtype=float)})


def test_it_finds_version_timezone_and_settings(client: Client) -> None:
    assert int(client.server_version.split(".")[0]) >= 24
    assert str(client.server_tz) == "UTC"
    assert client.server_settings["max_threads"].readonly == 0


@pytest.mark.parametrize("compress", [False, True, "zstd", "gzip"])
def test_rows_and_arrow_go_in_and_come_out(tansu_stack: Stack, numbers: str, compress: bool | str) -> None:
    packed = clickhouse_connect.get_client(dsn=tansu_stack.clickhouse_url, compress=compress)
    packed.insert(numbers, [[number, number / 2] for number in range(5000)], column_names=["a", "b"])
    packed.insert_arrow(numbers, block(5000, rows=5000))
    assert packed.query(f"SELECT count(), sum(a) FROM {numbers}").result_rows == [(10_000, 49_995_000)]
    assert packed.query_arrow(f"SELECT * FROM {numbers}").num_rows == 10_000
    packed.close()


def test_a_repeated_deduplication_token_changes_nothing(client: Client, numbers: str) -> None:
    for _ in range(3):
        client.insert_arrow(numbers, block(0), settings={"insert_deduplication_token": "first"})
    client.insert_arrow(numbers, block(0), settings={"insert_deduplication_token": "second"})
    assert client.command(f"SELECT count() FROM {numbers}") == 2000


def test_values_with_quotes_and_arrays_are_bound(client: Client) -> None:
    values = {"text": "it's \\ a\ttab", "list": [1, 2]}
    assert client.query("SELECT {text:String}, {list:Array(Int32)}", parameters=values).result_rows == [
        ("it's \\ a\ttab", [1, 2])
    ]


def test_errors_carry_the_code(client: Client) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT nope")
    assert caught.value.code == 47


def test_a_stream_that_fails_half_way_raises(client: Client) -> None:
    sql = "SELECT throwIf(number = 3000000), number FROM numbers(5000000)"
    with pytest.raises(StreamFailureError, match="throwIf"), client.query_row_block_stream(sql) as blocks:
        for _ in blocks:
            pass


def test_external_data_can_be_joined(client: Client) -> None:
    extra = ExternalData(file_name="x.csv", fmt="CSV", structure=["n String", "v Int32"], data=b"a,1\nb,2\n")
    assert client.query("SELECT sum(v) FROM x", external_data=extra).result_rows == [(3,)]


def test_per_query_settings_do_not_stay_in_the_session(client: Client) -> None:
    client.command("SET max_threads = 1")
    ask = "SELECT getSetting('max_threads')"
    assert client.query(ask, settings={"max_threads": 2}).result_rows == [(2,)]
    assert client.query(ask).result_rows == [(1,)]
