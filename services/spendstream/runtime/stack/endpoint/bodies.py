"""Request bodies: the statement in memory, an INSERT's data in a file on tmpfs, both within a limit.

The engine reads a file by ``FROM INFILE`` several times faster than data passed inside the statement, and a file
gives the same blocks for the same bytes, which a deduplication token needs.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from spendstream.runtime.stack.endpoint import sql_text
from spendstream.runtime.stack.endpoint.compression import Unpack
from spendstream.runtime.stack.endpoint.engine import quote
from spendstream.runtime.stack.endpoint.errors import QUERY_IS_TOO_LARGE, ClickHouseError
from spendstream.runtime.stack.folder_lock import FolderInUseError, FolderLock

_TMPFS = Path("/dev/shm")  # noqa: S108
_PREFIX = "spendstream-endpoint-"
_SETTLED_S = 60
_STATEMENT_BYTES = 1 << 20


@dataclass(slots=True)
class Statement:
    """What goes to the engine; ``spooled`` is the file its INFILE clause names."""

    sql: bytes
    spooled: Path | None = None

    def done(self) -> None:
        """Remove the file."""
        if self.spooled:
            self.spooled.unlink(missing_ok=True)


class Spool:
    """The folder of this endpoint's body files; what killed endpoints left behind is removed at start."""

    def __init__(self, data: Path, limit_bytes: int) -> None:
        parent = _TMPFS if _TMPFS.is_dir() else Path(tempfile.gettempdir())
        self._folder = parent / f"{_PREFIX}{sha256(str(data.resolve()).encode()).hexdigest()[:16]}"
        shutil.rmtree(self._folder, ignore_errors=True)
        _remove_abandoned(parent)
        self._folder.mkdir(mode=0o700, parents=True)
        self._lock = FolderLock(self._folder, "lock", "a ClickHouse endpoint's request bodies")
        self._limit = limit_bytes
        self._next = 0

    async def read(self, url_query: bytes, body: AsyncIterator[bytes], encoding: str, fmt: str) -> Statement:
        """Take the whole body behind the URL's part of the query; ``fmt`` serves an INSERT that names no format."""
        pieces = self.limited(self._plain(body, encoding))
        head = url_query
        if url_query and sql_text.insert_without_format(url_query):
            head += b" FORMAT " + (fmt or "Values").encode()
        head += b"\n" if head else b""
        insert = _certain_split(head)
        while insert is None and (piece := await anext(pieces, None)) is not None:
            head += piece
            insert = _certain_split(head)
            if insert is None and len(head) > _STATEMENT_BYTES:
                break
        if insert is None or insert.inline_values:
            return Statement(b"".join([head, *[piece async for piece in pieces]]))
        return await self._spool_insert(head, insert, pieces)

    async def keep(self, first: bytes, pieces: AsyncIterator[bytes]) -> Path | None:
        """Write the bytes to a new file; None where there are none."""
        self._next += 1
        path = self._folder / f"{self._next}.body"
        try:
            with path.open("wb", buffering=0) as file:
                size = file.write(first)
                async for piece in pieces:
                    size += file.write(piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if not size:
            path.unlink()
        return path if size else None

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()

    async def _spool_insert(self, head: bytes, insert: sql_text.Insert, pieces: AsyncIterator[bytes]) -> Statement:
        path = await self.keep(head[insert.data_at :], pieces)
        if path is None:
            return Statement(head)
        infile = f"FROM INFILE {quote(str(path))} ".encode()
        return Statement(head[: insert.infile_at] + infile + head[insert.infile_at : insert.statement_end], path)

    async def _plain(self, body: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
        unpack = Unpack(encoding)
        async for raw in body:
            for piece in unpack.feed(raw):
                yield piece
        unpack.end()

    async def limited(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same pieces, counted while they pass; more than the limit is ClickHouse's 229 (HTTP 413)."""
        taken = 0
        async for piece in pieces:
            taken += len(piece)
            if taken > self._limit:
                raise ClickHouseError(
                    QUERY_IS_TOO_LARGE,
                    f"The request body exceeds {self._limit} bytes; send smaller blocks or raise --max-body-mib",
                    "QUERY_IS_TOO_LARGE",
                )
            if piece:
                yield piece


def _remove_abandoned(parent: Path) -> None:
    """Folders of endpoints that were killed and whose data folder is never opened again would hold memory for ever."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError, FolderInUseError):
            if time.time() - folder.stat().st_mtime > _SETTLED_S:
                FolderLock(folder, "lock", "").release()
                shutil.rmtree(folder, ignore_errors=True)


def _certain_split(head: bytes) -> sql_text.Insert | None:
    """The INSERT's split, once a format name at the very end of what has arrived can no longer grow."""
    insert = sql_text.insert_with_data(head)
    return insert if insert and (insert.data_at < len(head) or head.endswith(b"\n")) else None
