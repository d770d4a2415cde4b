"""One statement on one connection: from the SQL to pieces of the answer. Blocking; called from worker threads."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from spendstream.runtime.stack.endpoint import sql_text
from spendstream.runtime.stack.endpoint.engine import Connection, Rows
from spendstream.runtime.stack.endpoint.errors import READONLY, SYNTAX_ERROR, ClickHouseError
from spendstream.runtime.stack.endpoint.request import Ask
from spendstream.runtime.stack.endpoint.sessions import Session

# The engine encodes every block of a stream by itself; only where blocks in a row are a valid whole may we stream.
_STREAMABLE = frozenset({"native", "tabseparated", "tsv", "csv", "rowbinary", "jsoneachrow"})
_READING = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "VALUES", "FROM"})
_HOLD_BACK_BYTES = 8 << 20


@dataclass(slots=True)
class Totals:
    """The figures of ``X-ClickHouse-Summary``."""

    values: dict[str, int] = field(default_factory=dict)

    def add(self, rows: Rows) -> None:
        """Count a result or a block of one."""
        written = rows.rows_written()
        found = {
            "read_rows": rows.storage_rows_read(),
            "read_bytes": rows.storage_bytes_read(),
            "written_rows": written,
            "written_bytes": rows.bytes_written(),
            "result_rows": written or rows.rows_read(),
            "result_bytes": rows.size(),
            "elapsed_ns": int(rows.elapsed() * 1e9),
        }
        self.values = {name: self.values.get(name, 0) + value for name, value in found.items()}

    def header(self) -> str:
        """ClickHouse writes the numbers as strings."""
        return json.dumps({"total_rows_to_read": "0"} | {name: str(value) for name, value in self.values.items()})


class Run:
    """A statement being executed; ``begin`` first, then ``more`` until it returns None."""

    def __init__(self, session: Session, ask: Ask, sql: bytes, tag: str) -> None:
        self._session, self._ask, self._sql, self.tag = session, ask, sql, tag
        self._stream: Any = None
        self.keyword = sql_text.keyword(sql)
        self.reads = self.keyword in _READING
        inserts = self.keyword == "INSERT"
        named = None if inserts else sql_text.output_format(sql)
        self.format = named or ("" if inserts else ask.default_format) or "TabSeparated"
        self.totals = Totals()

    def begin(self) -> list[bytes]:
        """Execute; the whole answer, or its first 8 MiB where the format can be streamed."""
        self._check()
        changes_session = self.keyword in ("SET", "USE")
        settings = {} if changes_session else self._settings()
        self._session.prepare(settings, "" if self.keyword == "USE" else self._ask.database)
        if self.reads and self.format.lower() in _STREAMABLE and not self._ask.wait_end_of_query:
            return self._begin_stream(self._session.connection)
        rows = self._session.connection.query(self._sql, self.format, self._ask.params)
        if changes_session:
            self._session.statement_changed_state(self.keyword)
        self.totals.add(rows)
        return [rows.bytes()] if rows.size() else []

    def more(self) -> bytes | None:
        """The next piece of a streamed answer."""
        if self._stream is None:
            return None
        try:
            block = self._session.connection.next_block(self._stream)
        except ClickHouseError:
            self._stream = None
            raise
        if block is None:
            self._stream = None
            return None
        self.totals.add(block)
        return block.bytes()

    @property
    def finished(self) -> bool:
        """True when ``more`` has nothing left."""
        return self._stream is None

    def abandon(self) -> None:
        """Stop where nobody will read on."""
        if self._stream is not None:
            self._session.connection.abandon(self._stream)
            self._stream = None

    def _begin_stream(self, connection: Connection) -> list[bytes]:
        self._stream = connection.stream(self._sql, self.format, self._ask.params)
        pieces: list[bytes] = []
        size = 0
        while size < _HOLD_BACK_BYTES and (piece := self.more()) is not None:
            pieces.append(piece)
            size += len(piece)
        return pieces

    def _settings(self) -> dict[str, str]:
        settings = {"log_comment": self.tag} | dict(self._ask.settings)
        if self._ask.read_only and not self._ask.session_id:
            settings.setdefault("readonly", "2")
        return settings

    def _check(self) -> None:
        if not self.keyword:
            raise ClickHouseError(SYNTAX_ERROR, "Empty query", "SYNTAX_ERROR")
        if sql_text.has_second_statement(self._sql):
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)", "SYNTAX_ERROR")
        if self._ask.read_only and not self.reads and self.keyword not in ("SET", "USE"):
            raise ClickHouseError(
                READONLY,
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
                "You should use method POST for modifying queries",
                "READONLY",
            )
