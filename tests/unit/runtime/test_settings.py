"""Settings come from their own variables and from nowhere else."""

from pathlib import Path

import pytest

from spendstream.runtime.settings import Settings


def test_variables_of_other_programs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": "/somebody", "HTTP_PORT": "8080", "LOG_LEVEL": "debug", "BATCH_RECORDS": "7"}.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.home == Path(".spendstream")
    assert (settings.http_port, settings.log_level, settings.batch_records) == (0, "info", 20_000)


def test_an_unknown_variable_of_ours_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDSTREAM_HOEM", "/x")
    with pytest.raises(ValueError, match="SPENDSTREAM_HOEM"):
        Settings.load()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", "http://me:hush@ch:8123")
    monkeypatch.setenv("KAFKA_PASSWORD", "hush")
    assert "hush" not in repr(Settings.load())
