"""Sessions: a connection that outlives its request, with temporary tables and SET, until nobody used it for a while.

ClickHouse gives each request its own settings on top of the session's. Here both live in one connection, so a
session remembers which settings the last request laid over it and takes them off again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spendstream.runtime.stack.endpoint.engine import Connection, Engine, quote
from spendstream.runtime.stack.endpoint.errors import (
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    UNKNOWN_SETTING,
    ClickHouseError,
)


@dataclass(slots=True)
class Session:
    """A connection with what the current request laid over it."""

    connection: Connection
    lasting: bool = True
    keep_s: float = 0.0
    idle_since: float = 0.0
    busy: bool = False
    database: str = "default"
    _in_database: str = "default"
    _laid_over: dict[str, str] = field(default_factory=dict)
    _own: dict[str, str | None] = field(default_factory=dict)

    def prepare(self, settings: Mapping[str, str], database: str) -> None:
        """Bring the connection to exactly the session's state plus this request's settings and database."""
        if (wanted := database or self.database) != self._in_database:
            self.connection.use(wanted)
            self._in_database = wanted
        new = {name: value for name, value in settings.items() if self._laid_over.get(name) != value}
        gone: dict[str, str | None] = {name: self._own[name] for name in self._laid_over if name not in settings}
        if self.lasting:
            self._remember([name for name in new if name not in self._own])
        # A value the engine refuses may leave its neighbours applied: until SET succeeded, all count as unknown.
        self._laid_over |= dict.fromkeys(new, "\0")
        self.connection.set({**gone, **new})
        self._laid_over = dict(settings)

    def statement_changed_state(self, keyword: str) -> None:
        """After SET or USE of the session itself: look again at what is its own."""
        if keyword == "USE":
            self.database = self._in_database = self.connection.one_line("SELECT currentDatabase()")[0]
        elif keyword == "SET":
            self._own.clear()

    def _remember(self, names: Sequence[str]) -> None:
        """Note the session's own values (None: the default) of settings about to be laid over."""
        if not names:
            return
        listed = ", ".join(quote(name) for name in names)
        sql = f"SELECT name, value, changed FROM system.settings WHERE name IN ({listed})"
        lines = self.connection.query(sql, "JSONCompactEachRow").bytes().splitlines()
        own = {name: value if changed else None for name, value, changed in map(json.loads, lines)}
        for name in names:
            if name not in own:
                raise ClickHouseError(UNKNOWN_SETTING, f"Unknown setting '{name}'", "UNKNOWN_SETTING")
        self._own |= own


class Sessions:
    """All sessions by id. Used from the event loop only, except `Session.prepare`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_id: dict[str, Session] = {}

    def take(self, session_id: str, keep_s: float, must_exist: bool) -> Session:
        """The session for one request; '' makes one that ends with the request."""
        if not session_id:
            return Session(self._engine.connect(), lasting=False, busy=True)
        session = self._by_id.get(session_id)
        if session is None and must_exist:
            raise ClickHouseError(SESSION_NOT_FOUND, "Session not found", "SESSION_NOT_FOUND")
        if session is None:
            session = self._by_id[session_id] = Session(self._engine.connect())
        if session.busy:
            raise ClickHouseError(SESSION_IS_LOCKED, "Session is locked by a concurrent client", "SESSION_IS_LOCKED")
        session.busy, session.keep_s = True, keep_s
        return session

    def give_back(self, session_id: str, session: Session, close: bool) -> None:
        """The request is over."""
        session.busy, session.idle_since = False, time.monotonic()
        if close or not session.lasting:
            self._by_id.pop(session_id, None)
            session.connection.close()

    def drop_idle(self) -> None:
        """Close sessions nobody used for their timeout."""
        now = time.monotonic()
        for session_id, session in list(self._by_id.items()):
            if not session.busy and now - session.idle_since > session.keep_s:
                del self._by_id[session_id]
                session.connection.close()

    def close(self) -> None:
        """Close them all."""
        for session in self._by_id.values():
            session.connection.close()
        self._by_id.clear()
