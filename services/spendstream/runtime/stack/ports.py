"""Ports on 127.0.0.1: free ones for tests, and a clear word where a fixed one is taken."""

from __future__ import annotations

import itertools
import os
import random
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
CLAIMS = Path(tempfile.gettempdir()) / f"spendstream-ports-{os.getuid()}"
PRIVATE = range(20_000, 32_000)
_drawn = itertools.count(random.randrange(len(PRIVATE)))  # noqa: S311 - where to begin to look, no secret


class PortTakenError(RuntimeError):
    """Something else listens there."""


def require_free(port: int, setting: str) -> None:
    """Raise PortTakenError, naming the setting that moves us elsewhere."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise PortTakenError(
                f"port {port} on {LOOPBACK} is taken by another process; free it or choose another with {setting}"
            ) from None


def free_port() -> int:
    """A port nobody listens on now, never the same twice in a process.

    It lies below those the system gives to outgoing connections: nobody gets it by chance before it is listened on.
    """
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, PRIVATE[next(_drawn) % len(PRIVATE)]))
            return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """True when something accepts connections there."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=0.5).close()
    except OSError:
        return False
    return True


def claim(port: int, home: Path) -> None:
    """Leave a note for commands elsewhere that this home's stack listens there, where one can be left."""
    with suppress(OSError):
        CLAIMS.mkdir(mode=0o700, exist_ok=True)
        draft = CLAIMS / f".{port}.{os.getpid()}"
        draft.write_text(str(home.resolve()))
        draft.replace(CLAIMS / str(port))


def unclaim(port: int, home: Path) -> None:
    """Take the note away, if it is still ours."""
    with suppress(OSError, ValueError):
        if (CLAIMS / str(port)).read_text() == str(home.resolve()):
            (CLAIMS / str(port)).unlink()


def claimed_by_other(port: int, home: Path) -> str:
    """The other home whose stack listens there now, or an empty text. A note left by `kill -9` does not count."""
    try:
        other = (CLAIMS / str(port)).read_text()
    except (OSError, ValueError):
        return ""
    return other if other != str(home.resolve()) and (Path(other) / "stack.json").exists() and answers(port) else ""
