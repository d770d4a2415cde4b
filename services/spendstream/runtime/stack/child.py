"""A child process that is never orphaned: own process group, killed by the kernel when its parent dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GUARD = Path(__file__).with_name("_guard.py")
_POLL_S = 0.02


class NotReadyError(RuntimeError):
    """A child ended or stayed silent before it was ready; the text ends with the tail of its log."""


class Child:
    """One process with its log file.

    Start it from a thread that lives as long as the child shall: the kernel watches the thread, not the process.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Spawn; the log is appended to."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        guarded = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), *self._command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._env},
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """The process id, None before `start`."""
        return self._process.pid if self._process else None

    def exit_code(self) -> int | None:
        """None while it runs (or was never started); negative for a signal."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        """True between start and end."""
        return self._process is not None and self._process.poll() is None

    def wait_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until ``ready()``; NotReadyError when it ends first or takes longer (seconds)."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                raise NotReadyError(f"{self.name} ended with {self.exit_code()} while starting\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotReadyError(f"{self.name} was not ready within {timeout:g} s\n{self.tail()}")
            time.sleep(_POLL_S)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM to its group)."""
        self._signal(signal.SIGTERM)

    def stop(self, within: float = 10.0) -> None:
        """SIGTERM, and SIGKILL for whatever is left after ``within`` seconds."""
        self.terminate()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(within)
        self.kill9()

    def kill9(self) -> None:
        """SIGKILL the whole group and reap."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def tail(self, lines: int = 20) -> str:
        """The last lines of the log, indented."""
        if not self.log.exists():
            return "  (no log)"
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 16_384))
            last = log.read().decode(errors="replace").splitlines()[-lines:]
        return "\n".join(f"  | {line}" for line in last) + f"\n  (whole log: {self.log})"

    def _signal(self, signum: int) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signum)
