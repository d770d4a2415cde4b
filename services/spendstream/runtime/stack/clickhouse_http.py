"""A ClickHouse server in one process: chDB behind ClickHouse's HTTP interface, for laptops, demos and tests.

    python -m spendstream.runtime.stack.clickhouse_http --data DIR [--port 18123] [--user U --password P]

Listens on 127.0.0.1 only. One process owns a data folder. SIGTERM lets running queries finish; SIGKILL loses
nothing that was acknowledged. What it does not do: native protocol, clusters, users, quotas, query logs,
``compress=1``; answers in formats other than Native, RowBinary, TSV, CSV and JSONEachRow are built in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from aiohttp import web

from spendstream.runtime.stack.endpoint.bodies import Spool
from spendstream.runtime.stack.endpoint.engine import Engine
from spendstream.runtime.stack.endpoint.handler import Endpoint
from spendstream.runtime.stack.endpoint.request import Access
from spendstream.runtime.stack.folder_lock import FolderInUseError, FolderLock
from spendstream.runtime.stack.ports import PortTakenError, require_free

LOCK_NAME = "spendstream.lock"


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 3 where folder or port are taken."""
    options = _parser().parse_args(arguments)
    # All our views are UTC, whatever zone the laptop is in; the engine reads TZ when it is loaded.
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        require_free(options.port, "--port (CLICKHOUSE port of the stack)")
        lock = FolderLock(options.data, LOCK_NAME, "a ClickHouse endpoint")
    except (FolderInUseError, PortTakenError) as error:
        sys.stderr.write(f"{error}\n")
        return 3
    spool = Spool(options.data, options.max_body_mib << 20)
    try:
        asyncio.run(_serve(options, Engine(options.data), spool))
    finally:
        spool.close()
        lock.release()
    return 0


async def _serve(options: argparse.Namespace, engine: Engine, spool: Spool) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    endpoint = Endpoint(engine, spool, Access(options.user, options.password))
    runner = web.AppRunner(
        endpoint.app(),
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        read_bufsize=1 << 20,
        max_field_size=1 << 20,
        max_line_size=1 << 20,
        shutdown_timeout=options.finish_within,
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port).start()
    sys.stderr.write(f"ClickHouse {engine.version} on http://127.0.0.1:{options.port}, data in {options.data}\n")
    sys.stderr.flush()
    await stop.wait()
    await runner.cleanup()
    engine.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="clickhouse_http", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of tables and parts")
    parser.add_argument("--port", type=int, default=18123, help="HTTP port on 127.0.0.1 (default %(default)s)")
    parser.add_argument("--user", default="default", help="the account (default %(default)s)")
    parser.add_argument(
        "--password",
        default=os.environ.get("SPENDSTREAM_ENDPOINT_PASSWORD", ""),
        help="its password (default: $SPENDSTREAM_ENDPOINT_PASSWORD or none; a command line is visible to others)",
    )
    parser.add_argument(
        "--max-body-mib", type=int, default=512, help="largest request body, decompressed (default %(default)s)"
    )
    parser.add_argument(
        "--finish-within", type=float, default=30.0, help="seconds running queries get at SIGTERM (default %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
