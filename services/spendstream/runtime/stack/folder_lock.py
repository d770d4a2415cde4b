"""One process per folder. The lock dies with its process, so nothing has to be cleaned up after ``kill -9``."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FolderInUseError(RuntimeError):
    """Another live process holds the folder."""


class FolderLock:
    """An exclusive lock on ``folder/name`` (flock); the file names the holder for whoever is refused."""

    def __init__(self, folder: Path, name: str, what: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / name
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._path.read_text().strip() or "unknown"
            os.close(self._fd)
            raise FolderInUseError(
                f"{folder} is in use by process {holder} ({what}); stop it (kill {holder}) or choose another folder"
            ) from None
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let the folder go. The file stays: removing it would let two processes lock two files of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
