"""`spendstream reprice` for GPUs: readings of a period rated again by the prices of now, the diff first."""

from dataclasses import dataclass, replace

from spendstream.corrections.gpu.publish import TOPIC
from spendstream.corrections.gpu.readings import Selection
from spendstream.corrections.gpu.reprice import GpuDiff, apply, diff
from spendstream.corrections.gpu.standing import not_taken_in
from spendstream.corrections.publish import CorrectionRun, run_id
from spendstream.gpu_books import PRICE_KINDS, GpuShelf
from spendstream.operations.reprice import Connected, Reports, bounded
from spendstream.runtime import clock
from spendstream.runtime.control import ControlLog
from spendstream.runtime.settings import Settings


@dataclass(frozen=True)
class GpuRepriced:
    """A diff, the name of the run, and how many corrections were published."""

    run_id: str
    diff: GpuDiff
    published: int


class GpuRepricing(Connected):
    """One `reprice` of GPU readings."""

    def __init__(self, settings: Settings, control: ControlLog, deadline: float, reports: Reports) -> None:
        super().__init__(settings, control, deadline, reports, "select superseded_at from gpu_costs limit 1")

    async def run(self, wanted: Selection, publish: bool) -> GpuRepriced:
        """Compare, and with `publish` correct; then return once every view has it.

        `NotQueryableError` when corrections are not taken in by the deadline, `NotNowError` or `GivenUpError` when
        broker or ClickHouse are away; what is published is safe.
        """
        async with self._publishing():
            await self._until_taken_in()
            since, until = bounded(wanted.since, wanted.until, clock.now_us())
            prices = GpuShelf(self._control).prices()
            found = await diff(
                self._clickhouse, replace(wanted, since=since, until=until), prices, self._reports.progress
            )
            name, sent = run_id("reprice", gpu=True, **self._inputs(wanted, PRICE_KINDS)), 0
            if publish and found.packed:
                run = CorrectionRun(name, "reprice", clock.now_us())
                sent = await apply(self._publisher, found, run, self._reports.progress)
                await self._until_taken_in()
            return GpuRepriced(name, found, sent)

    async def _until_taken_in(self) -> None:
        partitions = await self._publisher.partitions(TOPIC)

        async def waiting() -> str | None:
            count = await not_taken_in(self._settings, partitions)
            return f"{count} corrections of GPU readings to be taken in" if count else None

        await self._wait_until(waiting)
