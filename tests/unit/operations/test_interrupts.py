"""Ctrl-C at any moment ends a command without a traceback."""

import signal
import subprocess
import sys
import time

import pytest

# Waits for its cue inside the first import of each stage, so that the moment does not depend on the machine.
PROGRAM = """
import sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {stage!r}:
            print("there", flush=True)
            import time
            time.sleep(60)
sys.meta_path.insert(0, Stop())
sys.argv = ["spendstream", "query", "select 1"]
from spendstream.cli import main
main()
"""


@pytest.mark.parametrize(
    "stage",
    ["spendstream.cli.app", "typer", "spendstream.cli.verify", "clickhouse_connect", "spendstream.runtime.settings"],
)
def test_ctrl_c_while_a_command_starts_shows_no_traceback(stage: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(stage=stage)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "there\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said and "Exception" not in said
