"""The one batch writer to ClickHouse: asynchronous, retried for as long as the server is away, idempotent by token."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import local
from typing import Any, TypeVar

import pyarrow as pa

from spendstream.runtime.clickhouse.client import as_not_now, connect
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.settings import Settings

T = TypeVar("T")
# One block per insert, whatever its size: a block is what ClickHouse writes atomically and deduplicates by token.
ONE_BLOCK = {
    "max_insert_block_size": 10_000_000,
    "min_insert_block_size_rows": 10_000_000,
    "min_insert_block_size_bytes": 4_000_000_000,
    "async_insert": 0,
    "max_partitions_per_insert_block": 0,  # an import may span decades
    "input_format_parallel_parsing": 0,
}


class ClickHouse:
    """Queries and inserts off the event loop; each thread keeps its own connection.

    A server that is away is waited for: for ever in a service, `patience_s` seconds where somebody waits for a command
    (then `GivenUpError`).
    """

    def __init__(self, settings: Settings, threads: int = 2, patience_s: float | None = None) -> None:
        self._settings, self._patience_s = settings, patience_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="clickhouse")
        self._local = local()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def query(self, sql: str, parameters: dict[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Rows of a query; waits for the server as long as it is away."""
        return await self._run("query", lambda client: client.query(sql, parameters=parameters).result_rows)

    async def query_arrow(
        self, sql: str, parameters: dict[str, Any] | None = None, settings: dict[str, Any] | None = None
    ) -> pa.Table:
        """The rows of a query as columns; waits for the server as long as it is away."""
        return await self._run(
            "query", lambda client: client.query_arrow(sql, parameters=parameters, settings=settings)
        )

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Insert one block; tried again for as long as the server is away."""
        if rows.num_rows:
            await self._run(f"insert into {table}", lambda client: client.insert_arrow(table, rows, settings=ONE_BLOCK))

    async def insert_once(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert one block in a single try; raises `NotNowError`, and then nobody knows whether it is there.

        The same token again changes nothing while it is among the table's last `non_replicated_deduplication_window`
        blocks. A token is forgotten in time, so whoever tries again looks first.
        """
        settings = {**ONE_BLOCK, "insert_deduplication_token": token}
        await asyncio.get_running_loop().run_in_executor(
            self._pool,
            self._attempt,
            f"insert into {table}",
            lambda client: client.insert_arrow(table, rows, settings=settings),
        )

    async def _run(self, what: str, call: Callable[[Any], T]) -> T:
        loop = asyncio.get_running_loop()
        return await retrying(
            what,
            lambda: loop.run_in_executor(self._pool, self._attempt, what, call),
            retry_on=(NotNowError,),
            deadline_s=self._patience_s,
        )

    def _attempt(self, what: str, call: Callable[[Any], T]) -> T:
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = connect(self._settings)
        try:
            return call(client)
        except Exception as error:
            self._local.client = None
            raise as_not_now(error, what) from error
