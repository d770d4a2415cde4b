"""One way to get a ClickHouse client, and which of its errors mean *not now*."""

import re
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from urllib3.exceptions import HTTPError

from spendstream.runtime.retry import NotNowError
from spendstream.runtime.settings import Settings

DATABASE = "spendstream"
NOT_NOW_CODES = (
    "Code: 3.",  # unexpected end of the server
    "Code: 159.",  # timeout
    "Code: 202.",  # too many simultaneous queries
    "Code: 209.",  # socket timeout
    "Code: 210.",  # network error
    "Code: 241.",  # memory limit
    "Code: 242.",  # table is read only
    "Code: 252.",  # too many parts
    "Code: 319.",  # unknown status of insert
    "Code: 999.",  # keeper
)


def connect(settings: Settings, database: str = DATABASE, **options: Any) -> Any:
    """Synchronous clickhouse-connect client; raises `NotNowError` when the server is away."""
    url = urlsplit(settings.clickhouse_url.get_secret_value())
    try:
        return clickhouse_connect.get_client(
            host=url.hostname or "127.0.0.1",
            port=url.port or (8443 if url.scheme == "https" else 8123),
            username=unquote(url.username or "default"),
            password=unquote(url.password or ""),
            interface=url.scheme or "http",
            database=database,
            autogenerate_session_id=False,
            compress=False,
            connect_timeout=5,
            send_receive_timeout=120,
            **options,
        )
    except Exception as error:
        raise as_not_now(error, "connecting to ClickHouse") from error


def in_words(text: str) -> str:
    """What a client library's message says, without its classes, addresses of requests and versions."""
    if match := re.search(r"host='([^']*)', port=(\d+)", text):
        cause = re.search(r"\[Errno -?\d+\] ([^\"')]+)", text)
        reason = cause[1] if cause else "timed out" if "timed out" in text else "connection failed"
        return f"{match[1]}:{match[2]} does not answer ({reason.strip()})"
    said = text.split("DB::Exception: ", 1)[-1]
    return re.split(r" \(version |\s*\(for url ", said, maxsplit=1)[0].strip()[:300]


def as_not_now(error: BaseException, what: str) -> BaseException:
    """`NotNowError` when a later try may succeed, else the error itself."""
    text = str(error)
    if isinstance(error, OperationalError | HTTPError | OSError) and not _is_server_error(text):
        return NotNowError(f"{what}: {in_words(text)}")
    if isinstance(error, DatabaseError) and any(code in text for code in NOT_NOW_CODES):
        return NotNowError(f"{what}: {in_words(text)}")
    return error


def _is_server_error(text: str) -> bool:
    return "Code: " in text and not any(code in text for code in NOT_NOW_CODES)
