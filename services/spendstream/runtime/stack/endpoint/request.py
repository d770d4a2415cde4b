"""What a request asks for apart from its body: the URL's parameters and the headers, sorted by meaning."""

from __future__ import annotations

import base64
import binascii
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from spendstream.runtime.stack.endpoint.errors import (
    AUTHENTICATION_FAILED,
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    ClickHouseError,
)

# Consumed by the HTTP interface itself, here as in ClickHouse; everything else in the URL is a setting.
_ADDRESSING = frozenset({"query", "database", "default_format", "query_id", "session_id", "session_timeout"})
_ACCESS = frozenset({"user", "password", "quota_key", "role"})
_TRANSPORT = frozenset(
    {
        "session_check",
        "close_session",
        "stacktrace",
        "compress",
        "decompress",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
        "add_http_cors_header",
    }
)
_RESERVED = _ADDRESSING | _ACCESS | _TRANSPORT


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, read."""

    query: str
    database: str
    default_format: str
    session_id: str
    session_timeout_s: float
    session_check: bool
    close_session: bool
    query_id: str
    wait_end_of_query: bool
    accept_encoding: str
    content_encoding: str
    read_only: bool
    params: Mapping[str, str]
    settings: Mapping[str, str]


def read(method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Ask:
    """Sort a request's parameters; raises ClickHouseError for what this endpoint cannot do."""
    if _true(query.get("compress", "")) or _true(query.get("decompress", "")):
        raise ClickHouseError(
            NOT_IMPLEMENTED,
            "compress=1 and decompress=1 (ClickHouse's own block compression) are not supported by the embedded "
            "endpoint; use Accept-Encoding and Content-Encoding",
            "NOT_IMPLEMENTED",
        )
    packed = _true(query.get("enable_http_compression", "1"))
    return Ask(
        query=query.get("query", ""),
        database=query.get("database", "") or headers.get("X-ClickHouse-Database", ""),
        default_format=query.get("default_format", "") or headers.get("X-ClickHouse-Format", ""),
        session_id=query.get("session_id", ""),
        session_timeout_s=_seconds(query.get("session_timeout", "60")),
        session_check=_true(query.get("session_check", "")),
        close_session=_true(query.get("close_session", "")),
        query_id=query.get("query_id", "") or str(uuid.uuid4()),
        wait_end_of_query=_true(query.get("wait_end_of_query", "")),
        accept_encoding=headers.get("Accept-Encoding", "") if packed else "",
        content_encoding=headers.get("Content-Encoding", "").strip().lower(),
        read_only=method in ("GET", "HEAD"),
        params={name[6:]: value for name, value in query.items() if name.startswith("param_")},
        settings={n: v for n, v in query.items() if n not in _RESERVED and not n.startswith("param_")},
    )


@dataclass(frozen=True, slots=True)
class Access:
    """The one account of the endpoint."""

    user: str
    password: str

    def check(self, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Raise ClickHouse's 516 unless the request carries the account, in any of ClickHouse's three ways."""
        user, password = _credentials(query, headers)
        same_user = hmac.compare_digest(user.encode(), self.user.encode())
        if not (hmac.compare_digest(password.encode(), self.password.encode()) and same_user):
            raise ClickHouseError(
                AUTHENTICATION_FAILED,
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name.",
                "AUTHENTICATION_FAILED",
            )


def _credentials(query: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user or "default", password
    return query.get("user", "default") or "default", query.get("password", "")


def _true(text: str) -> bool:
    return text.lower() in ("1", "true")


def _seconds(text: str) -> float:
    if not text.isdigit() or int(text) > 3600:
        raise ClickHouseError(BAD_ARGUMENTS, f"Invalid session timeout: '{text}' (0 to 3600 seconds)", "BAD_ARGUMENTS")
    return float(text)
