"""The ClickHouse endpoint as curl, Grafana and any HTTP client see it."""

import gzip
import http.client
import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import lz4.frame  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from backports import zstd

from tests.support.stack import Stack, eventually

pytest_plugins = ["tests.support.stack"]
pytestmark = pytest.mark.embedded


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(stack: Stack, sql: str | bytes = b"", *, verb: str = "POST", headers: Any = None, **url: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", stack.clickhouse_port, timeout=60)
    try:
        connection.request(verb, "/?" + urlencode(url), body=sql or None, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): v for name, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def text(stack: Stack, sql: str, **url: str) -> str:
    answer = ask(stack, sql, **url)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def fresh_table(stack: Stack, name: str, columns: str = "a UInt64, b String") -> str:
    text(stack, f"CREATE OR REPLACE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY tuple()")
    return name


def test_answers_pings_and_unknown_paths_like_clickhouse(tansu_stack: Stack) -> None:
    def get(path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", tansu_stack.clickhouse_port)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()

    assert [get(path) for path in ("/", "/ping", "/replicas_status")] == [(200, b"Ok.\n")] * 3
    assert get("/nope")[0] == 404


def test_the_query_comes_from_the_url_the_body_or_both(tansu_stack: Stack) -> None:
    assert ask(tansu_stack, verb="GET", query="SELECT 1").body == b"1\n"
    assert text(tansu_stack, "SELECT 2") == "2\n"
    assert text(tansu_stack, "+ 2", query="SELECT 1") == "3\n"


@pytest.mark.parametrize(
    ("url", "headers", "expected_format"),
    [
        ({}, {}, "TabSeparated"),
        ({"default_format": "JSONEachRow"}, {}, "JSONEachRow"),
        ({}, {"X-ClickHouse-Format": "CSV"}, "CSV"),
    ],
)
def test_the_format_comes_from_parameter_or_header(
    tansu_stack: Stack, url: dict[str, str], headers: dict[str, str], expected_format: str
) -> None:
    answer = ask(tansu_stack, "SELECT 1 AS x", headers=headers, **url)
    assert answer.headers["x-clickhouse-format"] == expected_format
    named = ask(tansu_stack, "SELECT 1 AS x FORMAT JSON", headers=headers, **url)
    assert named.headers["x-clickhouse-format"] == "JSON"
    assert json.loads(named.body)["data"] == [{"x": 1}]
    assert named.headers["content-type"].startswith("application/json")


def test_an_answer_carries_query_id_timezone_server_name_and_summary(tansu_stack: Stack) -> None:
    answer = ask(tansu_stack, "SELECT number FROM numbers(10)", query_id="q-1", wait_end_of_query="1")
    assert answer.headers["x-clickhouse-query-id"] == "q-1"
    assert answer.headers["x-clickhouse-timezone"] == "UTC"
    assert answer.headers["x-clickhouse-server-display-name"]
    summary = json.loads(answer.headers["x-clickhouse-summary"])
    assert (summary["result_rows"], summary["read_rows"]) == ("10", "10")


def test_the_engine_runs_in_utc_whatever_the_machine_says(tansu_stack: Stack) -> None:
    assert text(tansu_stack, "SELECT timezone()") == "UTC\n"


def test_parameters_are_bound_by_the_engine_not_pasted(tansu_stack: Stack) -> None:
    sql = "SELECT {n:Int32} + 1, {s:String}, {a:Array(UInt8)}, {i:Identifier} FROM (SELECT 7 AS seven)"
    evil = "'; DROP TABLE x --"
    answer = text(
        tansu_stack,
        sql,
        param_n="1",
        param_s=evil,
        param_a="[1,2]",
        param_i="seven",
        default_format="JSONCompactEachRow",
    )
    assert json.loads(answer) == [2, evil, [1, 2], 7]


def test_settings_are_url_parameters_and_last_one_request(tansu_stack: Stack) -> None:
    sql = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    assert text(tansu_stack, sql, max_block_size="77") == "77\n"
    assert text(tansu_stack, sql) != "77\n"


@pytest.mark.parametrize(
    ("sql", "url", "code", "status"),
    [
        ("SELECT nope", {}, 47, 404),
        ("SELECT * FROM no_such_table", {}, 60, 404),
        ("SELEKT 1", {}, 62, 400),
        ("SELECT 1", {"no_such_setting": "1"}, 115, 404),
        ("SELECT 1", {"no_such_setting": "1", "session_id": "errors"}, 115, 404),
        ("SELECT 1", {"database": "no_such_database"}, 81, 404),
        ("SELECT throwIf(1)", {}, 395, 500),
        ("SELECT 1; SELECT 2", {}, 62, 400),
        ("SELECT sleep(3)", {"max_execution_time": "1"}, 159, 408),
        ("SELECT 1", {"user": "mallory"}, 516, 403),
        ("SELECT 1", {"session_id": "never-seen", "session_check": "1"}, 372, 404),
        ("SELECT 1", {"decompress": "1"}, 48, 501),
    ],
)
def test_errors_have_clickhouses_code_name_and_status(
    tansu_stack: Stack, sql: str, url: dict[str, str], code: int, status: int
) -> None:
    answer = ask(tansu_stack, sql, **url)
    assert answer.status == status, answer.body
    assert answer.headers["x-clickhouse-exception-code"] == str(code)
    assert answer.body.startswith(f"Code: {code}. DB::Exception: ".encode())


def test_get_may_not_modify(tansu_stack: Stack) -> None:
    for url in ({}, {"session_id": "read-only"}):
        answer = ask(tansu_stack, verb="GET", query="CREATE TABLE via_get (a UInt8) ENGINE = Memory", **url)
        assert answer.headers["x-clickhouse-exception-code"] == "164"


INSERTS = {
    "CSV": b'1,"one"\n2,"two, or \'2\'"\n',
    "TabSeparated": b"1\tone\n2\ttwo, or '2'\n",
    "JSONEachRow": b'{"a": 1, "b": "one"}\n{"a": 2, "b": "two, or \'2\'"}\n',
    "Values": b"(1, 'one'), (2, 'two, or \\'2\\'')",
    "RowBinary": b"\x01" + bytes(7) + b"\x03one" + b"\x02" + bytes(7) + b"\x0btwo, or '2'",
}


def arrow_bytes() -> bytes:
    table = pa.table({"a": pa.array([1, 2], pa.uint64()), "b": ["one", "two, or '2'"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("apart", [True, False], ids=["data apart from the query", "data behind the query"])
@pytest.mark.parametrize("fmt", [*INSERTS, "Arrow"])
def test_inserts_in_every_format(tansu_stack: Stack, fmt: str, apart: bool) -> None:
    table = fresh_table(tansu_stack, f"ins_{fmt}_{int(apart)}")
    data = INSERTS.get(fmt) or arrow_bytes()
    statement = f"INSERT INTO {table} (a, b) SETTINGS max_insert_threads = 1 FORMAT {fmt}"
    answer = ask(tansu_stack, data, query=statement) if apart else ask(tansu_stack, f"{statement}\n".encode() + data)
    assert answer.status == 200, answer.body
    assert json.loads(answer.headers["x-clickhouse-summary"])["written_rows"] == "2"
    assert text(tansu_stack, f"SELECT * FROM {table} ORDER BY a FORMAT CSV") == '1,"one"\n2,"two, or \'2\'"\n'


def test_native_survives_a_round_trip(tansu_stack: Stack) -> None:
    table = fresh_table(tansu_stack, "native_copy")
    native = ask(tansu_stack, "SELECT number AS a, toString(number) AS b FROM numbers(200000) FORMAT Native").body
    assert ask(tansu_stack, native, query=f"INSERT INTO {table} FORMAT Native").status == 200
    assert text(tansu_stack, f"SELECT count(), sum(a) FROM {table}") == "200000\t19999900000\n"


def test_an_insert_without_format_takes_the_headers_or_values(tansu_stack: Stack) -> None:
    table = fresh_table(tansu_stack, "no_format")
    ask(tansu_stack, b"1,one\n", query=f"INSERT INTO {table}", headers={"X-ClickHouse-Format": "CSV"})
    ask(tansu_stack, b"(2, 'two')", query=f"INSERT INTO {table}")
    assert text(tansu_stack, f"SELECT count() FROM {table}") == "2\n"


def test_a_table_may_be_called_format_and_data_may_look_like_sql(tansu_stack: Stack) -> None:
    fresh_table(tansu_stack, "format", "a String")
    assert ask(tansu_stack, b"INSERT INTO format FORMAT CSV\n; DROP TABLE format; FORMAT VALUES (1)\n").status == 200
    assert text(tansu_stack, "SELECT a FROM format") == "; DROP TABLE format; FORMAT VALUES (1)\n"


def test_a_bad_row_is_an_error_and_inserts_nothing(tansu_stack: Stack) -> None:
    table = fresh_table(tansu_stack, "bad_row")
    answer = ask(tansu_stack, b"1,one\nx,two\n", query=f"INSERT INTO {table} FORMAT CSV")
    assert answer.status == 400
    assert text(tansu_stack, f"SELECT count() FROM {table}") == "0\n"


ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
}


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("apart", [True, False])
def test_request_bodies_may_be_compressed_in_several_frames(tansu_stack: Stack, encoding: str, apart: bool) -> None:
    table = fresh_table(tansu_stack, f"packed_{encoding}_{int(apart)}")
    statement = f"INSERT INTO {table} FORMAT CSV"
    rows = b"".join(b"%d,row\n" % number for number in range(50_000))
    first = b"" if apart else f"{statement}\n".encode()
    body = ENCODERS[encoding](first + rows) + (b"" if encoding == "deflate" else ENCODERS[encoding](b"50000,last\n"))
    url = {"query": statement} if apart else {}
    answer = ask(tansu_stack, body, headers={"Content-Encoding": encoding}, **url)
    assert answer.status == 200, answer.body
    expected = 50_000 if encoding == "deflate" else 50_001
    assert text(tansu_stack, f"SELECT count() FROM {table}") == f"{expected}\n"


def test_a_truncated_compressed_body_is_refused_and_inserts_nothing(tansu_stack: Stack) -> None:
    table = fresh_table(tansu_stack, "truncated")
    body = gzip.compress(b"1,a\n" * 10_000)[:-20]
    answer = ask(tansu_stack, body, headers={"Content-Encoding": "gzip"}, query=f"INSERT INTO {table} FORMAT CSV")
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (400, "271")
    assert text(tansu_stack, f"SELECT count() FROM {table}") == "0\n"


DECODERS = {"gzip": gzip.decompress, "deflate": zlib.decompress, "lz4": lz4.frame.decompress, "zstd": zstd.decompress}


@pytest.mark.parametrize("encoding", DECODERS)
@pytest.mark.parametrize("rows", [5_000, 3_000_000], ids=["whole", "streamed"])
def test_answers_are_compressed_as_asked(tansu_stack: Stack, encoding: str, rows: int) -> None:
    answer = ask(tansu_stack, f"SELECT number FROM numbers({rows})", headers={"Accept-Encoding": encoding})
    assert answer.headers["content-encoding"] == encoding
    decoded = DECODERS[encoding](answer.body)
    assert decoded == b"".join(b"%d\n" % number for number in range(rows))


def test_sessions_keep_temporary_tables_and_settings_and_nobody_else_sees_them(tansu_stack: Stack) -> None:
    mine = {"session_id": "mine"}
    text(tansu_stack, "CREATE TEMPORARY TABLE scratch (a UInt8)", **mine)
    text(tansu_stack, "INSERT INTO scratch VALUES (5)", **mine)
    text(tansu_stack, "SET max_threads = 3", **mine)
    threads = "SELECT getSetting('max_threads')"
    assert text(tansu_stack, "SELECT a FROM scratch", **mine) == "5\n"
    assert text(tansu_stack, threads, **mine) == "3\n"
    assert text(tansu_stack, threads, max_threads="1", **mine) == "1\n"
    assert text(tansu_stack, threads, **mine) == "3\n"
    assert ask(tansu_stack, "SELECT a FROM scratch").status == 404
    assert ask(tansu_stack, "SELECT a FROM scratch", session_id="other").status == 404


def test_the_database_parameter_holds_for_one_request_of_a_session(tansu_stack: Stack) -> None:
    text(tansu_stack, "CREATE DATABASE IF NOT EXISTS elsewhere")
    which, mine = "SELECT currentDatabase()", {"session_id": "databases"}
    assert text(tansu_stack, which, database="elsewhere", **mine) == "elsewhere\n"
    assert text(tansu_stack, which, **mine) == "default\n"
    text(tansu_stack, "USE elsewhere", **mine)
    assert text(tansu_stack, which, **mine) == "elsewhere\n"


def test_a_session_ends_after_its_timeout(tansu_stack: Stack) -> None:
    text(tansu_stack, "CREATE TEMPORARY TABLE brief (a UInt8)", session_id="brief", session_timeout="1")
    check = {"session_id": "brief", "session_check": "1", "session_timeout": "0"}
    eventually(lambda: ask(tansu_stack, "SELECT 1", **check).status == 404, every=2.5)


def test_two_requests_at_once_in_one_session_are_refused(tansu_stack: Stack) -> None:
    endless = "SELECT max(ignore(number)) FROM numbers(1000000000000)"
    slow = http.client.HTTPConnection("127.0.0.1", tansu_stack.clickhouse_port)
    slow.request("POST", "/?session_id=busy", body=endless)
    running = f"SELECT count() FROM system.processes WHERE startsWith(query, '{endless}')"
    eventually(lambda: text(tansu_stack, running) == "1\n")
    locked = ask(tansu_stack, "SELECT 1", session_id="busy")
    slow.close()
    assert locked.headers["x-clickhouse-exception-code"] == "373"
    assert eventually(lambda: text(tansu_stack, "SELECT 1", session_id="busy")) == "1\n"


def test_an_error_behind_data_already_sent_does_not_look_like_success(tansu_stack: Stack) -> None:
    sql = "SELECT throwIf(number = 4000000), number FROM numbers(5000000)"
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(tansu_stack, sql)
    assert b"__exception__" in caught.value.partial and b"Code: 395" in caught.value.partial


def test_a_query_whose_client_leaves_is_cancelled(tansu_stack: Stack) -> None:
    running = (
        "SELECT count() FROM system.processes WHERE startsWith(query, 'SELECT count() FROM numbers(1000000000000)')"
    )
    connection = http.client.HTTPConnection("127.0.0.1", tansu_stack.clickhouse_port)
    connection.request(
        "POST", "/", body="SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number, 42))"
    )
    eventually(lambda: text(tansu_stack, running) == "1\n")
    connection.close()
    eventually(lambda: text(tansu_stack, running) == "0\n")


def test_external_tables_come_as_form_files(tansu_stack: Stack) -> None:
    boundary = "frontier"
    form = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT sum(v) FROM extra\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="extra"; filename="x.csv"\r\n\r\na,1\nb,2\n\r\n'
        f"--{boundary}--\r\n"
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = ask(tansu_stack, form, headers=headers, extra_structure="n String, v Int32", extra_format="CSV")
    assert answer.body == b"3\n", answer


def test_url_quoting_of_non_ascii_text_survives(tansu_stack: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", tansu_stack.clickhouse_port)
    connection.request("GET", "/?query=" + quote("SELECT 'Zürich ✓'"))
    assert connection.getresponse().read().decode() == "Zürich ✓\n"
