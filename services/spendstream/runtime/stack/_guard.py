"""Run a command that must not outlive its parent: ``python _guard.py PARENT_PID COMMAND ...``.

A script of its own rather than a ``preexec_fn``: code between fork and exec of a process with threads may deadlock.
Linux only; elsewhere the command simply runs.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(sys.argv[1]):
            sys.exit(1)  # the parent died before we asked
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606
