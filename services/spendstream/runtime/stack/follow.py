"""Follow log files and repeat their lines with a prefix, as ``docker compose up`` does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY_S = 0.1


@contextmanager
def follow(log: Path, name: str, echo: Callable[[str], object]) -> Iterator[None]:
    """Echo what is appended to ``log`` from now on, until the block ends (what is left is echoed then)."""
    enough = threading.Event()
    start = log.stat().st_size if log.exists() else 0
    thread = threading.Thread(target=_repeat, args=(log, start, f"{name:<16}| ", echo, enough), daemon=True)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join(timeout=5)


def _repeat(log: Path, position: int, prefix: str, echo: Callable[[str], object], enough: threading.Event) -> None:
    pending = b""
    while True:
        last_look = enough.wait(_LOOK_EVERY_S)
        if log.exists():
            with log.open("rb") as file:
                file.seek(position)
                pending += file.read()
                position = file.tell()
        *lines, pending = pending.split(b"\n")
        if last_look and pending:
            lines, pending = [*lines, pending], b""
        for line in lines:
            echo(prefix + line.decode(errors="replace"))
        if last_look:
            return
