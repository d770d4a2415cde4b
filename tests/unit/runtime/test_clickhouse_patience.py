"""A command does not wait for a ClickHouse that never comes back; a service does."""

import asyncio

import pytest
from pydantic import SecretStr

from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.retry import GivenUpError
from spendstream.runtime.settings import Settings
from spendstream.runtime.stack.ports import free_port


def ask(within_s: float, patience_s: float | None) -> None:
    """A query of a server that is not there."""
    settings = Settings(clickhouse_url=SecretStr(f"http://127.0.0.1:{free_port()}"))
    clickhouse = ClickHouse(settings, threads=1, patience_s=patience_s)
    try:
        asyncio.run(asyncio.wait_for(clickhouse.query("select 1"), within_s))
    finally:
        clickhouse.close()


def test_a_command_gives_up_on_a_server_that_stays_away() -> None:
    with pytest.raises(GivenUpError, match="query: gave up"):
        ask(within_s=60, patience_s=0.3)


def test_a_service_goes_on_waiting() -> None:
    with pytest.raises(TimeoutError):
        ask(within_s=1, patience_s=None)
