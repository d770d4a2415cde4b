"""Settings come from their own variables and from nowhere else."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from spendstream.runtime.settings import ADDRESSES, ForeignStackError, Settings
from spendstream.runtime.stack import ports


def test_variables_of_other_programs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": "/somebody", "HTTP_PORT": "8080", "LOG_LEVEL": "debug", "BATCH_RECORDS": "7"}.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.home == Path(".spendstream")
    assert (settings.http_port, settings.log_level, settings.batch_records) == (0, "info", 60_000)


def test_an_unknown_variable_of_ours_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDSTREAM_HOEM", "/x")
    with pytest.raises(ValueError, match="SPENDSTREAM_HOEM"):
        Settings.load()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", "http://me:hush@ch:8123")
    monkeypatch.setenv("KAFKA_PASSWORD", "hush")
    assert "hush" not in repr(Settings.load())


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KAFKA_BOOTSTRAP", "CLICKHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPENDSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(ports, "CLAIMS", tmp_path / "claims")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def running(home: Path, port: int, pid: int) -> None:
    state = {
        "broker": "tansu", "kafka_bootstrap": f"127.0.0.1:{port}", "clickhouse_url": f"http://127.0.0.1:{port}",
        "home": str(home), "pids": {"supervisor": pid}, "started_at": 0.0,
    }  # fmt: skip
    (home / "stack.json").write_text(json.dumps(state))


def addresses() -> tuple[str, str]:
    settings = Settings.load()
    return settings.kafka_bootstrap, settings.clickhouse_url.get_secret_value()


DEFAULTS = ("127.0.0.1:19092", "http://127.0.0.1:18123")


def test_what_is_not_given_is_the_stack_that_runs_in_the_home(
    home: Path, listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(home, listening, os.getpid())
    assert addresses() == (f"127.0.0.1:{listening}", f"http://127.0.0.1:{listening}")
    monkeypatch.setenv("CLICKHOUSE_URL", "http://ch:8123")
    assert addresses() == (f"127.0.0.1:{listening}", "http://ch:8123")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka:9092")
    assert addresses() == ("kafka:9092", "http://ch:8123")


def test_a_stack_that_was_killed_does_not_count(home: Path, listening: int) -> None:
    running(home, listening, 2**22 + 1)
    assert addresses() == DEFAULTS
    (home / "stack.json").write_text("{")
    assert addresses() == DEFAULTS


def test_a_default_port_of_another_homes_stack_is_not_used_unasked(
    home: Path, listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ADDRESSES, "kafka_bootstrap", listening)
    other = home.parent / "other"
    other.mkdir()
    running(other, listening, os.getpid())
    ports.claim(listening, other)
    with pytest.raises(ForeignStackError, match=f"SPENDSTREAM_HOME={other}"):
        Settings.load()
    assert Settings.given().home == home
    monkeypatch.setenv("KAFKA_BOOTSTRAP", f"127.0.0.1:{listening}")
    assert Settings.load().kafka_bootstrap == f"127.0.0.1:{listening}"
    monkeypatch.delenv("KAFKA_BOOTSTRAP")
    ports.unclaim(listening, other)
    assert addresses() == DEFAULTS
