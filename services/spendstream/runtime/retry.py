"""The one retry policy: *not now* is retried with growing pauses, then given up loudly."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

T = TypeVar("T")
log = structlog.get_logger()


class NotNowError(Exception):
    """The far side (broker, ClickHouse, registry) is away or overloaded; the same call may succeed later."""


class GivenUpError(Exception):
    """A *not now* lasted beyond its deadline: the service stops, uncommitted."""


async def retrying(
    what: str,
    call: Callable[[], Awaitable[T]],
    *,
    retry_on: tuple[type[BaseException], ...],
    deadline_s: float | None = None,
    first_pause_s: float = 0.1,
    longest_pause_s: float = 5.0,
) -> T:
    """Await `call` until it succeeds; pauses double from `first_pause_s` to `longest_pause_s` with jitter.

    Raises `GivenUpError` once `deadline_s` has passed (None: never).
    """
    loop = asyncio.get_running_loop()
    started, pause, attempt = loop.time(), first_pause_s, 0
    while True:
        try:
            return await call()
        except retry_on as error:
            attempt += 1
            waited = loop.time() - started
            if deadline_s is not None and waited + pause > deadline_s:
                raise GivenUpError(f"{what}: gave up after {waited:.0f} s: {error}") from error
            if attempt in (1, 5, 20) or attempt % 60 == 0:
                log.warning("not now", what=what, attempt=attempt, error=str(error)[:300], pause_s=round(pause, 2))
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, longest_pause_s)
