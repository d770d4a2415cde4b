"""Child processes of a bench: started in a group of their own, measured, and gone at the end."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
STOP_WITHIN_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchError(RuntimeError):
    """The bench cannot go on; the text says why, with the end of the log that knows."""


class Child:
    """One process and its log."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name, self._log = name, log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                list(command), env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise `BenchError` when it has ended."""
        if (code := self._process.poll()) is not None:
            raise BenchError(f"{self.name} ended with {code}\n{self.tail()}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to what is left of its group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN_S)

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


def cpu_s(pids: Iterable[int]) -> float:
    """User and system seconds these processes have used so far (all their threads); Linux only, elsewhere 0."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS_PER_S


def wait_for(what: str, ask: Callable[[], T | None], child: Child, within_s: float, every_s: float = 0.1) -> T:
    """The first answer that is not None; `BenchError` when the child ends or it takes too long."""
    give_up = time.monotonic() + within_s
    while (answer := ask()) is None:
        child.check()
        if time.monotonic() > give_up:
            raise BenchError(f"{what}: not within {within_s:g} s\n{child.tail()}")
        time.sleep(every_s)
    return answer


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
