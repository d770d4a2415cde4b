"""The one command: `spendstream …`. Exit codes: 0 ok, 1 a check failed, 2 usage, 3 unavailable."""

import sys

INTERRUPTED = 130  # as a shell says it


def main() -> None:
    """Entry point; keeps tracebacks for bugs, says plainly what is wrong with input and surroundings."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # while it was still being imported
        sys.exit(INTERRUPTED)


def _run() -> int:
    from spendstream.cli.app import app  # noqa: PLC0415 - keeps `import spendstream.cli` free of work
    from spendstream.cli.failures import explained, quiet_libraries  # noqa: PLC0415

    if sys.argv[1:2] != ["run"]:  # a service logs what its clients say
        quiet_libraries()
    return explained(app)
