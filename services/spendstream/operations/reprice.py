"""`spendstream reprice`: a period rated again by the prices of now, with the diff before anything is published."""

from collections.abc import Callable
from contextlib import suppress
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


@dataclass(frozen=True)
class Wanted:
    """Which charges: [since, until) in microseconds, of one organisation or all, of one model or all."""

    since: int
    until: int
    org: str | None = None
    provider: str | None = None
    model: str | None = None

    def period(self, now: int) -> Period:
        """The same as ClickHouse is asked; nothing lies before the epoch or a day ahead of `now`."""
        names = {"org": self.org, "provider": self.provider, "model": self.model}
        given = {name: value for name, value in names.items() if value is not None}
        conditions = tuple(f"{name} = {{{name}:String}}" for name in given)
        return Period(max(0, self.since), max(0, min(self.until, now + DAY_US)), conditions, given)


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


class Repricing:
    """One `reprice`: broker and ClickHouse, and what is known of prices."""

    def __init__(self, settings: Settings, control: ControlLog, deadline: float, reports: Reports) -> None:
        Store(settings).rows("select last from correction_positions limit 1")  # says so when tables are not there
        self._settings, self._control = settings, control
        self._deadline, self._reports = deadline, reports
        self._publisher, self._clickhouse = Publisher(settings), ClickHouse(settings, patience_s=PATIENCE_S)

    async def run(self, wanted: Wanted, publish: bool) -> Repriced:
        """Compare, and with `publish` correct; then return once every sum has it.

        `NotQueryableError` when corrections are not taken in by the deadline, `NotNowError` or `GivenUpError` when
        broker or ClickHouse are away; what is published is safe.
        """
        await self._publisher.start()
        try:
            await self._until_taken_in()
            prices = BookShelf(self._control).now().prices
            found = await diff(self._clickhouse, wanted.period(clock.now_us()), prices, self._reports.progress)
            name = run_id("reprice", **self._inputs(wanted))
            sent = 0
            if publish and found.packed:
                run = CorrectionRun(name, "reprice", clock.now_us())
                sent = await apply(self._publisher, found, run, self._reports.progress)
                await self._until_taken_in()
                await until_nothing_waits(self._settings, self._not_summed, self._deadline, self._reports.waiting)
            return Repriced(name, found, sent)
        finally:
            with suppress(Exception):
                await self._publisher.stop()
            self._clickhouse.close()

    def _inputs(self, wanted: Wanted) -> dict[str, Any]:
        return {**vars(wanted), "prices_at": self._control.last_change(PRICE_KINDS, self._control.offset)}

    async def _until_taken_in(self) -> None:
        on_topic = await topic_ends(self._settings, await self._publisher.partitions(TOPIC))

        async def waiting() -> str | None:
            count = await not_taken_in(self._clickhouse, on_topic)
            return f"{count} records of corrections to be taken in" if count else None

        await until_nothing_waits(self._settings, waiting, self._deadline, self._reports.waiting)

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


__all__ = ["NotQueryableError", "Reports", "Repriced", "Repricing", "Wanted"]
