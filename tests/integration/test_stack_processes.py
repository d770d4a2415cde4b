"""The supervisor: nothing orphaned, everything in order, every death told."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from spendstream.runtime.stack.child import Child, NotReadyError
from spendstream.runtime.stack.processes import Service, Supervisor
from tests.support.stack import eventually

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


def up(log: Path) -> bool:
    return log.exists() and "up" in log.read_text()


def service(folder: Path, name: str, command: list[str] = SLEEPER) -> Service:
    log = folder / f"{name}.log"
    return Service(name, command, log, ready=lambda: up(log))


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def supervise(folder: Path, body: str, *arguments: str) -> subprocess.Popen[str]:
    script = folder / "supervise.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from spendstream.runtime.stack.processes import Service, Supervisor\n"
        f"folder = Path({str(folder)!r})\n"
        f"sleeper = {SLEEPER!r}\n"
        "def tell(name, what): print(name, what, flush=True)\n"
        "def part(name, command=sleeper):\n"
        "    log = folder / f'{name}.log'\n"
        "    return Service(name, command, log, lambda: log.exists() and 'up' in log.read_text())\n"
        + textwrap.dedent(body)
    )
    environment = {**os.environ, "PYTHONPATH": "services"}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_members_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    first, second, third = (service(tmp_path, name) for name in ("first", "second", "third"))
    supervisor = Supervisor([[first], [second, third]], lambda name, what: told.append((name, what.split()[0])))
    supervisor.start()
    assert [name for name, what in told if what == "ready"] == ["first", "second", "third"]
    supervisor.stop()
    assert [name for name, what in told if what == "stopping"] == ["third", "second", "first"]
    assert not any(member.child.running for member in (first, second, third))


def test_a_member_that_cannot_start_stops_the_others_and_shows_its_log(tmp_path: Path) -> None:
    good = service(tmp_path, "good")
    bad = service(tmp_path, "bad", [sys.executable, "-c", "raise SystemExit('the disk is full')"])
    with pytest.raises(NotReadyError, match=r"bad ended with 1(.|\n)*the disk is full"):
        Supervisor([[good], [bad]]).start()
    assert not good.child.running


def test_a_member_that_ignores_sigterm_is_killed_after_the_deadline(tmp_path: Path) -> None:
    stubborn = service(tmp_path, "stubborn", STUBBORN)
    supervisor = Supervisor([[stubborn]], stop_within_s=0.5)
    supervisor.start()
    supervisor.stop()
    assert stubborn.child.exit_code() == -signal.SIGKILL


def test_an_unexpected_death_is_told_with_the_log_and_ends_the_watch(tmp_path: Path) -> None:
    told: list[str] = []
    member = service(tmp_path, "fragile")
    supervisor = Supervisor([[member]], lambda name, what: told.append(what))
    supervisor.start()
    member.child.kill9()
    assert supervisor.watch() is False
    supervisor.stop()
    assert "died unexpectedly (signal SIGKILL)\n  | up" in told[-1]


def test_a_member_to_be_restarted_comes_back(tmp_path: Path) -> None:
    member = service(tmp_path, "phoenix")
    supervisor = Supervisor([[member]], restart={"phoenix"})
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    # Restarted from the watching thread, the new child lives as long as that thread: until the end of this test.
    watching.start()
    first = member.child.pid
    member.child.kill9()
    assert eventually(lambda: member.child.running and member.child.pid != first)
    supervisor.request_stop()
    watching.join()
    supervisor.stop()


def test_a_member_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    told: list[str] = []
    brief = Service("brief", [sys.executable, "-c", "pass"], tmp_path / "brief.log")
    supervisor = Supervisor([[brief]], lambda name, what: told.append(what), restart={"brief"})
    supervisor.start()
    assert supervisor.watch() is False
    supervisor.stop()
    assert any("giving up" in what for what in told) or any("did not come back" in what for what in told)


def test_kill_9_of_the_supervisor_leaves_no_orphans(tmp_path: Path) -> None:
    parent = supervise(
        tmp_path,
        """
        s = Supervisor([[part("a")], [part("b")]], tell)
        s.start()
        print("pids", *[m.child.pid for m in s._started], flush=True)
        s.watch()
        """,
    )
    assert parent.stdout
    line = next(line for line in parent.stdout if line.startswith("pids"))
    pids = [int(word) for word in line.split()[1:]]
    assert all(map(alive, pids))
    parent.kill()
    parent.wait()
    assert eventually(lambda: not any(map(alive, pids)))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_run_writes_the_ready_file_and_ends_with_0_after_a_signal(tmp_path: Path, signum: int) -> None:
    ready = tmp_path / "ready"
    parent = supervise(
        tmp_path, f'sys.exit(Supervisor([[part("a")]], tell, echo_logs=print).run(Path({str(ready)!r})))'
    )
    eventually(ready.exists)
    parent.send_signal(signum)
    out, _ = parent.communicate(timeout=60)
    assert parent.returncode == 0
    assert not ready.exists()
    assert "a stopping" in out
    assert "a               | up" in out


def test_a_signal_while_starting_stops_what_has_started(tmp_path: Path) -> None:
    parent = supervise(
        tmp_path,
        """
        never = Service("never", sleeper, folder / "never.log", lambda: False)
        sys.exit(Supervisor([[part("a")], [never]], tell).run())
        """,
    )
    assert parent.stdout
    for line in parent.stdout:
        if line.startswith("never starting"):
            break
    parent.send_signal(signal.SIGINT)
    out, _ = parent.communicate(timeout=60)
    assert parent.returncode == 0
    assert "a stopping" in out


def test_run_ends_with_1_when_a_member_dies(tmp_path: Path) -> None:
    # It ends once it has been seen ready, and not a moment before.
    end = tmp_path / "end"
    waits = f"while not os.path.exists({str(end)!r}): time.sleep(0.05)"
    brief = [sys.executable, "-c", f"import os, time\nprint('up', flush=True)\n{waits}"]
    parent = supervise(tmp_path, f'sys.exit(Supervisor([[part("a", {brief!r})]], tell).run())')
    assert parent.stdout
    for line in parent.stdout:
        if line.startswith("a ready"):
            break
    end.touch()
    out, _ = parent.communicate(timeout=60)
    assert parent.returncode == 1
    assert "a died unexpectedly (exit code 0)" in out


def test_a_silent_child_is_reported_after_its_timeout(tmp_path: Path) -> None:
    child = Child("silent", SLEEPER, tmp_path / "silent.log")
    child.start()
    with pytest.raises(NotReadyError, match=r"silent was not ready within 0.2 s"):
        child.wait_ready(lambda: False, timeout=0.2)
    child.kill9()
