"""The corrections of a diff while somebody may still decide about them: in memory, compressed."""

import io
from collections.abc import Awaitable, Callable

import polars as pl

Progress = Callable[[int, int], None]


class Packed:
    """Tables of corrections, packed as they come: some 60 bytes each of usage, a few each of GPU readings."""

    def __init__(self) -> None:
        self._tables: list[bytes] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, corrections: pl.DataFrame) -> None:
        """Keep another table."""
        buffer = io.BytesIO()
        corrections.write_ipc(buffer, compression="lz4")
        self._tables.append(buffer.getvalue())
        self._rows += corrections.height

    async def publish(self, publish: Callable[[pl.DataFrame], Awaitable[int]], progress: Progress) -> int:
        """Give every table to `publish`, which returns how many it sent; returns how many in all."""
        sent = 0
        for table in self._tables:
            sent += await publish(pl.read_ipc(io.BytesIO(table)))
            progress(sent, self._rows)
        return sent
