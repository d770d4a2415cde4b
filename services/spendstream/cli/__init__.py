"""The one command: `spendstream …`. Exit codes: 0 ok, 1 a check failed, 2 usage, 3 unavailable."""

import sys


def main() -> None:
    """Entry point; keeps tracebacks for bugs, says plainly what is wrong with input and surroundings."""
    from spendstream.cli.app import app  # noqa: PLC0415 - keeps `import spendstream.cli` free of work
    from spendstream.cli.failures import explained, quiet_libraries  # noqa: PLC0415

    if sys.argv[1:2] != ["run"]:  # a service logs what its clients say
        quiet_libraries()
    sys.exit(explained(app))
