"""Content-Encoding, both ways, piece by piece: no body is ever held whole, and no small one grows unseen."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol, cast

import cramjam
from typing_extensions import Buffer

from spendstream.runtime.stack.endpoint.errors import CANNOT_DECOMPRESS, NOT_IMPLEMENTED, ClickHouseError

ANSWER_ORDER = ("lz4", "zstd", "gzip", "deflate", "br")
_PIECE_BYTES = 4 << 20


class Packer(Protocol):
    """Compresses an answer piece by piece."""

    def compress(self, data: bytes) -> object: ...
    def flush(self) -> Buffer: ...
    def finish(self) -> Buffer: ...


class _Unpacker(Protocol):
    """What lz4 and zstd share, and `_Deflate` imitates."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Deflate:
    """zlib's decompressor with the interface of the others."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def choose(accept_encoding: str) -> str | None:
    """The encoding of the answer: the cheapest one the client names (``q=0`` excludes), or none."""
    offered = {}
    for part in accept_encoding.lower().split(","):
        name, _, options = part.strip().partition(";")
        offered[name.strip()] = options.replace(" ", "") not in ("q=0", "q=0.0")
    return next((name for name in ANSWER_ORDER if offered.get(name)), None)


def packer(encoding: str) -> Packer:
    """A fresh compressor for one answer, at the level that is fast rather than small."""
    makers: dict[str, Callable[[], object]] = {
        "lz4": cramjam.lz4.Compressor,
        "zstd": lambda: cramjam.zstd.Compressor(1),
        "gzip": lambda: cramjam.gzip.Compressor(3),
        "deflate": lambda: cramjam.zlib.Compressor(3),
        "br": lambda: cramjam.brotli.Compressor(1),
    }
    return cast(Packer, makers[encoding]())


class Unpack:
    """Decompresses a request body as its pieces arrive; several frames in a row are one body."""

    def __init__(self, encoding: str) -> None:
        self._make = _unpacker_of(encoding)
        self._current = self._make() if self._make else None
        self._inside_frame = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The plain bytes, at most 4 MiB at a time; raises ClickHouseError on damaged input."""
        if self._current is None or self._make is None:
            yield data
            return
        while data:
            self._inside_frame = True
            yield self._step(self._current, data)
            while not self._current.eof and not self._current.needs_input:
                yield self._step(self._current, b"")
            data = b""
            if self._current.eof:
                data = self._current.unused_data or b""
                self._current, self._inside_frame = self._make(), False

    def end(self) -> None:
        """Check that the body did not stop in the middle of a frame."""
        if self._inside_frame:
            raise _damaged("it ends in the middle of a frame")

    @staticmethod
    def _step(unpacker: _Unpacker, data: bytes) -> bytes:
        try:
            return unpacker.decompress(data, _PIECE_BYTES)
        except Exception as error:  # zlib, lz4 and zstd raise unrelated classes
            raise _damaged(str(error)) from None


def _unpacker_of(encoding: str) -> Callable[[], _Unpacker] | None:
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip"):
        return lambda: _Deflate(31)
    if encoding == "deflate":
        return lambda: _Deflate(15)
    if encoding == "lz4":
        from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped] # noqa: PLC0415

        return cast(Callable[[], _Unpacker], LZ4FrameDecompressor)
    if encoding == "zstd":
        from backports import zstd  # noqa: PLC0415

        return cast(Callable[[], _Unpacker], zstd.ZstdDecompressor)
    raise ClickHouseError(
        NOT_IMPLEMENTED,
        f"Content-Encoding {encoding!r} is not supported by the embedded endpoint; use lz4, zstd, gzip or deflate",
        "NOT_IMPLEMENTED",
    )


def _damaged(why: str) -> ClickHouseError:
    return ClickHouseError(CANNOT_DECOMPRESS, f"Cannot decompress the request body: {why}", "CANNOT_DECOMPRESS")
