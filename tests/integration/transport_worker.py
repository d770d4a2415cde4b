"""A worker of its own process on the chunked transport: writes down what it is given, then counts it as done.

Run as: python transport_worker.py BOOTSTRAP GROUP TOPIC HOME OPTIONS, with OPTIONS as JSON: `pause_s` for each run,
`records` in a run, `start` (offset to read from at an assignment), `fail_at` (offset at which processing raises),
`load_s` (how long loading state takes), `request_timeout_s` (faust's).
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from spendstream.runtime.kafka.consume import Run, build_app
from spendstream.runtime.kafka.transport import RunOptions
from spendstream.runtime.settings import Settings


class Notebook:
    """One line per event in HOME/seen.txt: `assigned 0,1`, `revoked`, `run PARTITION OFFSET,OFFSET,…`."""

    def __init__(self, path: Path, told: Mapping[str, Any]) -> None:
        self._out = path.open("a", buffering=1)
        self._pause_s, self._load_s = told["pause_s"], told.get("load_s", 0)
        self._start, self._fail_at = told.get("start"), told.get("fail_at")

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        await asyncio.sleep(self._load_s)
        self._out.write(f"assigned {','.join(str(tp.partition) for tp in sorted(partitions))}\n")
        return {} if self._start is None else dict.fromkeys(partitions, self._start)

    async def revoked(self) -> None:
        self._out.write("revoked\n")

    async def process(self, run: Run) -> None:
        await asyncio.sleep(self._pause_s)
        if self._fail_at is not None and run.last >= self._fail_at:
            raise ValueError("told to fail")
        self._out.write(f"run {run.partition} {','.join(str(record.offset) for record in run.records)}\n")


def main(bootstrap: str, group: str, topic: str, home: str, options: str) -> None:
    told = json.loads(options)
    settings = Settings(KAFKA_BOOTSTRAP=bootstrap, SPENDSTREAM_HOME=Path(home))
    notebook = Notebook(Path(home) / "seen.txt", told)
    app = build_app(settings, group, [topic], notebook, RunOptions(linger_ms=20, records=told["records"]))
    if "request_timeout_s" in told:
        app.conf.broker_request_timeout = told["request_timeout_s"]
    worker = faust.Worker(app, loglevel="warning", quiet=True, override_logging=False, redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
