"""An orderly stop: no more usage is read, and what was read reaches ClickHouse before anything is shut down.

Nothing depends on it where the broker keeps its topics: the next start goes on. The embedded broker in memory does not,
and what the roll-ups count and the ledger does not have is counted again when it is sent again.
"""

import asyncio
import time
from typing import Final

import faust
import structlog
from mode import Service

from spendstream.attribution.usage.ledger import Ledger
from spendstream.runtime.kafka.publisher import Publisher

log = structlog.get_logger()
AT_MOST_S: Final = 10.0
#: Nothing must have moved for so long: a run goes from hand to hand between two looks.
QUIET_S: Final = 0.3
POLL_S: Final = 0.05


class Draining(Service):  # type: ignore[misc]  # mode is untyped
    """Must be the last of a worker's services, because the last one is stopped first."""

    def __init__(self, usage: faust.App, ledger: Ledger, publisher: Publisher, projected: faust.App) -> None:
        """`projected`: the app that writes what `publisher` has sent to ClickHouse."""
        super().__init__()
        self._usage, self._ledger, self._publisher, self._projected = usage, ledger, publisher, projected

    async def on_stop(self) -> None:
        if not self._usage.consume_loop.ready:
            return
        self._usage.consumer.stop_flow()
        begun = quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < QUIET_S:
            if time.monotonic() - begun > AT_MOST_S:
                log.warning("stopped although not everything is in ClickHouse", after_s=AT_MOST_S)
                return
            if not self._is_quiet():
                quiet_since = time.monotonic()
            await asyncio.sleep(POLL_S)

    def _is_quiet(self) -> bool:
        usage, projected = self._usage.consume_loop, self._projected.consume_loop
        idle = usage.is_idle and self._ledger.is_caught_up
        return idle and self._projected.consumer.has_read(self._publisher.newest) and projected.is_idle
