"""Answers: headers as ClickHouse sends them, compression, and how an error says so in the middle of a stream."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from aiohttp import web

from spendstream.runtime.stack.endpoint import compression
from spendstream.runtime.stack.endpoint.errors import ClickHouseError
from spendstream.runtime.stack.endpoint.run import Run

_CONTENT_TYPES = {
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "tabseparatedwithnames": "text/tab-separated-values; charset=UTF-8; header=present",
    "tabseparatedwithnamesandtypes": "text/tab-separated-values; charset=UTF-8; header=present",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "csvwithnamesandtypes": "text/csv; charset=UTF-8; header=present",
    "json": "application/json; charset=UTF-8",
    "jsoncompact": "application/json; charset=UTF-8",
    "jsonstrings": "application/json; charset=UTF-8",
    "jsoncolumns": "application/json; charset=UTF-8",
    "jsoneachrow": "application/x-ndjson; charset=UTF-8",
    "jsoncompacteachrow": "application/x-ndjson; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
    "arrow": "application/vnd.apache.arrow.file",
    "arrowstream": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
    "prometheus": "text/plain; version=0.0.4; charset=UTF-8",
}
_PLAIN = ("pretty", "vertical", "markdown", "values", "sql")
_WORTH_PACKING_BYTES = 1024


class Server:
    """What every answer says about the server."""

    def __init__(self, version: str, timezone: str, display_name: str) -> None:
        self.version = version
        self._headers = {"X-ClickHouse-Server-Display-Name": display_name, "X-ClickHouse-Timezone": timezone}

    def headers(self, query_id: str, fmt: str = "") -> dict[str, str]:
        """The headers of an answer to this query."""
        named = {"X-ClickHouse-Format": fmt, "Content-Type": content_type(fmt)} if fmt else {}
        return self._headers | named | ({"X-ClickHouse-Query-Id": query_id} if query_id else {})

    def error(self, error: ClickHouseError, query_id: str = "") -> web.Response:
        """ClickHouse's error answer."""
        headers = self.headers(query_id) | {
            "X-ClickHouse-Exception-Code": str(error.code),
            "Content-Type": "text/plain; charset=UTF-8",
        }
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        return web.Response(status=error.status, body=error.body(self.version).encode(), headers=headers)


def content_type(fmt: str) -> str:
    """The media type ClickHouse gives a format."""
    known = _CONTENT_TYPES.get(fmt.lower())
    if known:
        return known
    return "text/plain; charset=UTF-8" if fmt.lower().startswith(_PLAIN) else "application/octet-stream"


def whole(server: Server, run: Run, query_id: str, pieces: Sequence[bytes], accept: str) -> web.Response:
    """A finished answer, compressed where that is worth it. Blocking."""
    headers = server.headers(query_id, run.format) | {"X-ClickHouse-Summary": run.totals.header()}
    packer = StreamPacker(accept if sum(map(len, pieces)) >= _WORTH_PACKING_BYTES else "")
    if packer.encoding:
        headers["Content-Encoding"] = packer.encoding
    body = b"".join([*map(packer.pack, pieces), packer.close()])
    return web.Response(body=body, headers=headers)


class StreamPacker:
    """Compresses an answer piece by piece; ``close`` gives what is left."""

    def __init__(self, accept: str) -> None:
        self.encoding = compression.choose(accept)
        self._packer = compression.packer(self.encoding) if self.encoding else None

    def pack(self, piece: bytes) -> bytes:
        """The bytes for the wire. Blocking."""
        if self._packer is None:
            return piece
        self._packer.compress(piece)
        return bytes(self._packer.flush())

    def close(self) -> bytes:
        """The end of the compressed stream."""
        return b"" if self._packer is None else bytes(self._packer.finish())


class Aborted:
    """The block that tells a client, behind data it already has, that the query failed (ClickHouse 25.11 and later)."""

    def __init__(self) -> None:
        self.tag = secrets.token_hex(8)

    def block(self, error: ClickHouseError, version: str) -> bytes:
        """``__exception__``, tag, text, length, tag, ``__exception__``."""
        text = error.body(version)
        length = len(text.encode())
        return f"\r\n__exception__\r\n{self.tag}\r\n{text}{length} {self.tag}\r\n__exception__\r\n".encode()
