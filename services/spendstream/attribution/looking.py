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

from spendstream.runtime.retry import NotNowError

log = structlog.get_logger()
PAUSES_S: Final = (0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)


class Looking(Service):  # type: ignore[misc]  # mode is untyped
    """Calls `look` on `news` and after pauses that begin anew on news, whenever it found something, and on failures."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

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
