"""One supervisor for all children: ordered start with readiness, watching, and an orderly end in reverse order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from spendstream.runtime.stack.child import Child
from spendstream.runtime.stack.follow import follow

Progress = Callable[[str, str], None]
_WATCH_EVERY_S = 0.2
_RESTARTS_PER_MINUTE = 5
# What the dead one held nobody can be waited for to hand over.
_AFTER_DEATH_S = 8.0


class Member(Protocol):
    """What a supervisor supervises: brokers, the ClickHouse endpoint, `Service`."""

    @property
    def name(self) -> str: ...
    @property
    def child(self) -> Child: ...
    def start(self) -> None: ...
    def wait_ready(self, timeout: float = ...) -> None: ...


class Service:
    """Any command as a member: ready when ``ready()`` says so."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        ready: Callable[[], bool] = lambda: True,
        env: Mapping[str, str] | None = None,
        url: str = "",
    ) -> None:
        self.name, self.url = name, url
        self.child = Child(name, command, log, env)
        self._ready = ready

    def start(self) -> None:
        """Spawn."""
        self.child.start()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Until it says it is ready."""
        self.child.wait_ready(self._ready, timeout)


class _StopRequestedError(Exception):
    """A signal came while starting."""


class Supervisor:
    """Starts stages one after the other (members of a stage together), watches, stops in reverse.

    A stage may also be a plain callable: work that needs the stages before it, done once.
    ``restart`` names the members that are started again when they die; the death of any other one stops all.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Member] | Callable[[], None]],
        progress: Progress = lambda name, what: None,
        *,
        restart: Collection[str] = (),
        stop_within_s: float = 45.0,
        ready_within_s: float = 60.0,
        echo_logs: Callable[[str], object] | None = None,
    ) -> None:
        self._stages = stages
        self._progress = progress
        self._restart = frozenset(restart)
        self._stop_within_s, self._ready_within_s = stop_within_s, ready_within_s
        self._echo = echo_logs
        self._stop = threading.Event()
        self._started: list[Member] = []
        self._deaths: dict[str, list[float]] = {}
        self._following = ExitStack()

    def run(self, ready_file: Path | None = None) -> int:
        """Start, stay until SIGINT or SIGTERM or a death, stop. 0 after a signal, 1 after a death. Main thread only.

        ``ready_file`` is written when every member is ready and removed at the end.
        """
        phase = {"starting": True}
        previous = {
            number: signal.signal(number, lambda *_: self._on_signal(phase))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            self.start()
            phase["starting"] = False
            if ready_file:
                ready_file.parent.mkdir(parents=True, exist_ok=True)
                ready_file.write_text("ready\n")
            if self.watch():
                return 0
            self._stop_within_s = min(self._stop_within_s, _AFTER_DEATH_S)
            return 1
        except _StopRequestedError:
            return 0
        finally:
            phase["starting"] = False
            if ready_file:
                ready_file.unlink(missing_ok=True)
            self.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def start(self) -> None:
        """Start everything; when one member fails, what runs already is stopped and NotReadyError goes up."""
        try:
            for stage in self._stages:
                if callable(stage):
                    stage()
                else:
                    self._start_stage(stage)
        except BaseException:
            self.stop()
            raise

    def watch(self) -> bool:
        """Block until asked to stop (True) or until a death that is not to be restarted (False)."""
        while not self._stop.wait(_WATCH_EVERY_S):
            for member in self._started:
                if not member.child.running and not self._after_death(member):
                    return False
        return True

    def request_stop(self) -> None:
        """Make `watch` return, from any thread."""
        self._stop.set()

    def stop(self) -> None:
        """Stop all in reverse order within the deadline; then SIGKILL."""
        deadline = time.monotonic() + self._stop_within_s
        while self._started:
            member = self._started.pop()
            if member.child.running:
                self._progress(member.name, "stopping")
            member.child.stop(within=max(0.1, deadline - time.monotonic()))
        self._following.close()

    def _start_stage(self, stage: Sequence[Member]) -> None:
        begun = time.monotonic()
        for member in stage:
            self._progress(member.name, "starting")
            member.start()
            self._started.append(member)
            if self._echo:
                self._following.enter_context(follow(member.child.log, member.name, self._echo))
        for member in stage:
            member.wait_ready(self._ready_within_s)
            self._progress(member.name, f"ready after {time.monotonic() - begun:.1f} s")

    def _after_death(self, member: Member) -> bool:
        """Report; True when the member runs again."""
        code = member.child.exit_code()
        self._progress(member.name, f"died unexpectedly ({_how(code)})\n{member.child.tail()}")
        if member.name not in self._restart:
            return False
        now = time.monotonic()
        recent = [at for at in self._deaths.get(member.name, []) if now - at < 60] + [now]
        self._deaths[member.name] = recent
        if len(recent) > _RESTARTS_PER_MINUTE:
            self._progress(member.name, f"died {len(recent)} times within a minute; giving up")
            return False
        if self._stop.wait(0.2 * 2 ** (len(recent) - 1)):
            return True
        self._progress(member.name, "restarting")
        try:
            member.start()
            member.wait_ready(self._ready_within_s)
        except RuntimeError as error:
            self._progress(member.name, f"did not come back: {error}")
            return False
        self._progress(member.name, "ready again")
        return True

    def _on_signal(self, phase: dict[str, bool]) -> None:
        if self._stop.is_set():  # the second Ctrl-C: no more patience
            for member in self._started:
                member.child.kill9()
            return
        self._stop.set()
        if phase["starting"]:
            phase["starting"] = False
            raise _StopRequestedError


def _how(code: int | None) -> str:
    if code is None:
        return "no exit code"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
