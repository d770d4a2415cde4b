"""`spendstream doctor`."""

import asyncio

from spendstream.cli.failures import CHECK_FAILED, CommandError
from spendstream.cli.output import print_json, print_table
from spendstream.cli.reaching import JsonOption, reaching
from spendstream.cli.run import SERVICES


def doctor(as_json: JsonOption = False) -> None:
    """Examine broker, topics, ClickHouse, services, backlogs and whether the books balance; exit code 1 on a failure.

    Example: KAFKA_BOOTSTRAP=kafka:9092 CLICKHOUSE_URL=http://clickhouse:8123 spendstream doctor
    """
    from spendstream.operations.checks import FAIL  # noqa: PLC0415
    from spendstream.operations.doctor import examine  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    with reaching():
        findings = asyncio.run(examine(Settings.load(), SERVICES))
    failed = [finding.check for finding in findings if finding.state == FAIL]
    if as_json:
        print_json({"ok": not failed, "checks": [vars(finding) for finding in findings]})
    else:
        rows = [(finding.state, finding.check, finding.found, finding.advice) for finding in findings]
        print_table("", ["", "check", "found", "what to do"], rows)
    if failed:
        raise CommandError(f"failed: {', '.join(failed)}", CHECK_FAILED)
