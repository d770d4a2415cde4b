"""`spendstream reprice`: a period rated again by the prices of now, with the diff before anything is published."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from spendstream.corrections.charges import Period
from spendstream.corrections.publish import TOPIC, CorrectionRun, run_id
from spendstream.corrections.reprice import Diff, apply, diff
from spendstream.corrections.standing import not_taken_in, topic_ends
from spendstream.domain.corrections import POSITIONS
from spendstream.operations.arrival import NotQueryableError, until_nothing_waits
from spendstream.operations.store import Store
from spendstream.rating import PRICE_KINDS, BookShelf
from spendstream.runtime import clock
from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.control import ControlLog
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.settings import Settings

DAY_US = 86_400_000_000
PATIENCE_S = 30.0  # a restarted ClickHouse is back within this


def bounded(since: int, until: int, now: int) -> tuple[int, int]:
    """A period as ClickHouse is asked: nothing lies before the epoch or a day ahead of `now`. Microseconds."""
    return max(0, since), max(0, min(until, now + DAY_US))


@dataclass(frozen=True)
class Wanted:
    """Which charges: [since, until) in microseconds, of one organisation or all, of one model or all.

    A model is known by its own name and by the one that events said.
    """

    since: int
    until: int
    org: str | None = None
    provider: str | None = None
    model: str | None = None

    def period(self, now: int) -> Period:
        """The same as ClickHouse is asked (`bounded`)."""
        names = {"org": self.org, "provider": self.provider, "model": self.model}
        given = {name: value for name, value in names.items() if value is not None}
        by_name = {name: f"{name} = {{{name}:String}}" for name in given}
        said = {"provider", "model"} & set(given)
        by_any_name = {name: f"({by_name[name]} or reported_{by_name[name]})" for name in said}
        return Period(
            *bounded(self.since, self.until, now),
            tuple((by_name | by_any_name).values()), given, tuple(by_name.values()),
        )  # fmt: skip


@dataclass(frozen=True)
class Reports:
    """Who is told how it goes: charges done of all, and what is being waited for."""

    progress: Callable[[int, int], None] = field(default=lambda done, total: None)
    waiting: Callable[[str], None] = field(default=lambda what: None)


@dataclass(frozen=True)
class Repriced:
    """A diff, the name of the run, and how many corrections were published."""

    run_id: str
    diff: Diff
    published: int


class Connected:
    """What every `reprice` has: broker and ClickHouse, what is known of prices, and how long it may take.

    `probe`: SQL of which the answer does not matter; it says so when tables are not there. A ClickHouse that stays away
    is waited for PATIENCE_S seconds, then `GivenUpError`.
    """

    def __init__(self, settings: Settings, control: ControlLog, deadline: float, reports: Reports, probe: str) -> None:
        Store(settings).rows(probe)
        self._settings, self._control = settings, control
        self._deadline, self._reports = deadline, reports
        self._publisher, self._clickhouse = Publisher(settings), ClickHouse(settings, patience_s=PATIENCE_S)

    @asynccontextmanager
    async def _publishing(self) -> AsyncIterator[None]:
        """While the broker is connected; both connections are closed behind it."""
        await self._publisher.start()
        try:
            yield
        finally:
            with suppress(Exception):
                await self._publisher.stop()
            self._clickhouse.close()

    def _inputs(self, wanted: object, kinds: frozenset[str]) -> dict[str, Any]:
        """What names a run: what was wanted, and the last change of these documents."""
        return {**vars(wanted), "prices_at": self._control.last_change(kinds, self._control.offset)}

    async def _wait_until(self, waiting: Callable[[], Awaitable[str | None]]) -> None:
        await until_nothing_waits(self._settings, waiting, self._deadline, self._reports.waiting)


class Repricing(Connected):
    """One `reprice` of charges."""

    def __init__(self, settings: Settings, control: ControlLog, deadline: float, reports: Reports) -> None:
        super().__init__(settings, control, deadline, reports, "select last from correction_positions limit 1")

    async def run(self, wanted: Wanted, publish: bool) -> Repriced:
        """Compare, and with `publish` correct; then return once every sum has it.

        `NotQueryableError` when corrections are not taken in by the deadline, `NotNowError` or `GivenUpError` when
        broker or ClickHouse are away; what is published is safe.
        """
        async with self._publishing():
            await self._until_taken_in()
            prices = BookShelf(self._control).now().prices
            found = await diff(self._clickhouse, wanted.period(clock.now_us()), prices, self._reports.progress)
            name = run_id("reprice", **self._inputs(wanted, PRICE_KINDS))
            sent = 0
            if publish and found.packed:
                run = CorrectionRun(name, "reprice", clock.now_us())
                sent = await apply(self._publisher, found, run, self._reports.progress)
                await self._until_taken_in()
                await self._wait_until(self._not_summed)
            return Repriced(name, found, sent)

    async def _until_taken_in(self) -> None:
        on_topic = await topic_ends(self._settings, await self._publisher.partitions(TOPIC))

        async def waiting() -> str | None:
            count = await not_taken_in(self._clickhouse, on_topic)
            return f"{count} records of corrections to be taken in" if count else None

        await self._wait_until(waiting)

    async def _not_summed(self) -> str | None:
        """Corrections of the newest log that the roll-ups do not hold: sums of both are equal once they do."""
        log = "with (select argMax(incarnation, written_at) from correction_positions) as log"
        sums = "(sum(cost_usd), sum(priced_events), sum(unpriced_events))"
        # The last row is asked for first: whole sums are worth their while only when it is there.
        for corrections, rolled_up in (
            (f"{POSITIONS} * max(log_offset) from corrections", "max(last_offset) from cost_by_minute"),
            (f"{sums} from corrections final", f"{sums} from cost_by_minute final"),
        ):
            [(wanted, there)] = await self._clickhouse.query(
                f"{log} select (select {corrections} where log_incarnation = log),"
                f" (select {rolled_up} where incarnation = log)"
            )
            if wanted != there and (isinstance(wanted, tuple) or wanted > there):
                return "corrections to be summed up"
        return None


__all__ = ["Connected", "NotQueryableError", "Reports", "Repriced", "Repricing", "Wanted"]
