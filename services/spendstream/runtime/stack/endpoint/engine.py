"""The chDB engine: one per process, one data folder, as many connections as there are sessions and requests.

A connection costs 0.3 ms and isolates settings, current database and temporary tables, so a request without a
session gets its own: nothing has to be undone afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from spendstream.runtime.stack.endpoint.errors import BAD_ARGUMENTS, ClickHouseError

_SETTING = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


class Rows(Protocol):
    """A result of the engine, whole or one block of a stream."""

    def bytes(self) -> bytes: ...
    def size(self) -> int: ...
    def rows_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...
    def storage_rows_read(self) -> int: ...
    def storage_bytes_read(self) -> int: ...
    def elapsed(self) -> float: ...


class Connection:
    """One engine connection; not for two threads at a time."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def query(self, sql: str | bytes, fmt: str = "TabSeparated", params: Mapping[str, str] | None = None) -> Rows:
        """Run one statement to its end; raises ClickHouseError."""
        try:
            return cast(Rows, self._raw.query(sql, fmt, params=dict(params or {})))
        except RuntimeError as error:
            raise ClickHouseError.of_engine(error) from None

    def stream(self, sql: str | bytes, fmt: str, params: Mapping[str, str]) -> Any:
        """Start a query whose blocks are fetched with `next_block`."""
        try:
            return self._raw.send_query(sql, fmt, params=dict(params))
        except RuntimeError as error:
            raise ClickHouseError.of_engine(error) from None

    def next_block(self, stream: Any) -> Rows | None:
        """The next block of a stream, or None at its end."""
        try:
            block = cast("Rows | None", self._raw.streaming_fetch_result(stream))
        except RuntimeError as error:
            raise ClickHouseError.of_engine(error) from None
        return block if block is not None and block.rows_read() else None

    def abandon(self, stream: Any) -> None:
        """Stop a stream that nobody will read to its end."""
        self._raw.streaming_cancel_query(stream)

    def set(self, settings: Mapping[str, str | None]) -> None:
        """Apply settings; None means the engine's default. An unknown name is ClickHouse's error 115."""
        if settings:
            parts = (f"{_name(key)} = {_value(value)}" for key, value in settings.items())
            self.query("SET " + ", ".join(parts))

    def use(self, database: str) -> None:
        """Change the current database."""
        self.query("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`")

    def one_line(self, sql: str) -> list[str]:
        """The columns of a one-row answer."""
        return self.query(sql).bytes().decode().rstrip("\n").split("\t")

    def close(self) -> None:
        """Release the connection and everything temporary in it."""
        self._raw.close()


class Engine:
    """The open data folder."""

    def __init__(self, data: Path) -> None:
        # Imported here: the shared library takes half a second and must see TZ first.
        from chdb import _chdb  # noqa: PLC0415

        self._connect = _chdb.connect  # type: ignore[attr-defined]
        self._path = str(data)
        self._root = self.connect()
        self.version, self.timezone = self._root.one_line("SELECT version(), timezone()")

    def connect(self) -> Connection:
        """A fresh connection with the engine's default settings."""
        return Connection(self._connect(self._path))

    def kill(self, tag: str) -> None:
        """Cancel the query that runs with this ``log_comment``; nothing happens where it has ended."""
        connection = self.connect()
        try:
            connection.query(f"KILL QUERY WHERE Settings['log_comment'] = {quote(tag)} ASYNC")
        finally:
            connection.close()

    def close(self) -> None:
        """Close the folder; every other connection must be closed before."""
        self._root.close()


def quote(text: str) -> str:
    """A ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _name(name: str) -> str:
    if not _SETTING.match(name):
        raise ClickHouseError(BAD_ARGUMENTS, f"Not a setting name: {name!r}", "BAD_ARGUMENTS")
    return name


def _value(value: str | None) -> str:
    return "DEFAULT" if value is None else quote(value)
