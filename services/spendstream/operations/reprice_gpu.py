"""`spendstream reprice` for GPUs: readings of a period rated again by the prices of now, the diff first."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from spendstream.corrections.gpu.publish import TOPIC
from spendstream.corrections.gpu.readings import Selection
from spendstream.corrections.gpu.reprice import GpuDiff, apply, diff
from spendstream.corrections.gpu.standing import not_taken_in
from spendstream.corrections.publish import CorrectionRun, run_id
from spendstream.gpu_books import PRICE_KINDS, GpuShelf
from spendstream.operations.arrival import until_nothing_waits
from spendstream.operations.reprice import DAY_US, Reports
from spendstream.operations.store import Store
from spendstream.runtime import clock
from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.control import ControlLog
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.settings import Settings


@dataclass(frozen=True)
class GpuRepriced:
    """A diff, the name of the run, and how many corrections were published."""

    run_id: str
    diff: GpuDiff
    published: int


class GpuRepricing:
    """One `reprice` of GPU readings: broker and ClickHouse, and what is known of prices."""

    def __init__(self, settings: Settings, control: ControlLog, deadline: float, reports: Reports) -> None:
        Store(settings).rows("select superseded_at from gpu_costs limit 1")  # says so when tables are not there
        self._settings, self._control = settings, control
        self._deadline, self._reports = deadline, reports
        self._publisher, self._clickhouse = Publisher(settings), ClickHouse(settings)

    async def run(self, wanted: Selection, publish: bool) -> GpuRepriced:
        """Compare, and with `publish` correct; then return once every view has it.

        `NotQueryableError` when corrections are not taken in by the deadline; what is published is safe.
        """
        await self._publisher.start()
        try:
            await self._until_taken_in()
            bounded = _bounded(wanted, clock.now_us())
            prices = GpuShelf(self._control).prices()
            found = await diff(self._clickhouse, bounded, prices, self._reports.progress)
            name, sent = run_id("reprice", gpu=True, **self._inputs(wanted)), 0
            if publish and found.packed:
                run = CorrectionRun(name, "reprice", clock.now_us())
                sent = await apply(self._publisher, found, run, self._reports.progress)
                await self._until_taken_in()
            return GpuRepriced(name, found, sent)
        finally:
            with suppress(Exception):
                await self._publisher.stop()
            self._clickhouse.close()

    def _inputs(self, wanted: Selection) -> dict[str, Any]:
        return {**vars(wanted), "prices_at": self._control.last_change(PRICE_KINDS, self._control.offset)}

    async def _until_taken_in(self) -> None:
        partitions = await self._publisher.partitions(TOPIC)

        async def waiting() -> str | None:
            count = await not_taken_in(self._settings, partitions)
            return f"{count} corrections of GPU readings to be taken in" if count else None

        await until_nothing_waits(self._settings, waiting, self._deadline, self._reports.waiting)


def _bounded(wanted: Selection, now: int) -> Selection:
    """The same as ClickHouse is asked: nothing lies before the epoch or a day ahead of `now`."""
    return Selection(max(0, wanted.since), max(0, min(wanted.until, now + DAY_US)), wanted.org, wanted.gpu_model)
