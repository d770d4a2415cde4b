"""Looking for what can be repaired by now: at once on news, then ever more rarely, because what is looked at is written
by somebody who may be late."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from mode import Service

from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.retry import NotNowError
from spendstream.runtime.service import Context

log = structlog.get_logger()
PAUSES_S: Final = (0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)


class Looking(Service):  # type: ignore[misc]  # mode is untyped
    """Calls `look` on `news` and after pauses that begin anew on news, whenever it found something, and on failures.

    Prices that change are news. `kinds`: of the documents that price what is looked at.
    """

    def __init__(self, context: Context, kinds: frozenset[str]) -> None:
        super().__init__()
        self._context = context
        # Its own connection: what it asks may take long, and what the stream writes must not wait for it.
        self._clickhouse = ClickHouse(context.settings, threads=1)
        #: Whether this worker holds the first partition of the corrections' topic: one of all workers corrects.
        self._held = False
        #: Offset of the last change of prices.
        self._prices_at = 0
        self._kinds = kinds
        self._news = asyncio.Event()
        context.control.on_change(self._control_changed)

    def follow(self, partitions: frozenset[int]) -> None:
        """Partitions of the corrections' topic this worker holds from now on."""
        self._held = 0 in partitions
        self.news()

    async def on_stop(self) -> None:
        self._clickhouse.close()

    def _control_changed(self) -> None:
        control = self._context.control.log
        changed = control.last_change(self._kinds, control.offset)
        if changed != self._prices_at:
            self._prices_at = changed
            self.news()

    def news(self) -> None:
        """There may be something to find."""
        self._news.set()

    async def look(self) -> bool:
        """Look once; True when something was found. `NotNowError` and what Kafka raises mean: later."""
        raise NotImplementedError

    def interrupted(self) -> None:
        """The last look was not carried to its end."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _look_for_ever(self) -> None:
        pauses = _pauses()
        while not self.should_stop:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), next(pauses))
            if self._news.is_set():
                self._news.clear()
                pauses = _pauses()
            try:
                if await self.look():
                    pauses = _pauses()
            except (NotNowError, KafkaError, OSError) as error:
                log.warning("repair waits", what=type(self).__name__, error=str(error)[:300])
                self.interrupted()
                pauses = _pauses()


def _pauses() -> Iterator[float]:
    return itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1]))
