"""Rating a period again: first what would change, then, if wanted, the corrections."""

import asyncio
from dataclasses import dataclass, field

import polars as pl

from spendstream.corrections.charges import MINUTE_US, Period, chunks, read
from spendstream.corrections.packed import Packed, Progress
from spendstream.corrections.publish import CorrectionRun, publish
from spendstream.corrections.rerate import changes
from spendstream.domain.corrections import Summary
from spendstream.rating import Prices
from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.kafka.publisher import Publisher


@dataclass
class Diff:
    """What repricing a period would change: its sums, and the corrections.

    `gone`: events of the period that are in the sums but have no charge (any more); they stay as they are.
    """

    examined: int = 0
    gone: int = 0
    summary: Summary = field(default_factory=Summary)
    packed: Packed = field(default_factory=Packed)

    def add(self, charges: int, found: pl.DataFrame) -> None:
        """Take in the changes of one chunk."""
        self.examined += charges
        if found.height:
            self.summary.add(found)
            self.packed.add(found)


async def diff(clickhouse: ClickHouse, period: Period, prices: Prices, progress: Progress) -> Diff:
    """Rate every charge of a period by `prices`. `progress` is told how many charges are done, of how many."""
    parts = await chunks(clickhouse, period)
    total, found = sum(count for _, count in parts), Diff()
    progress(0, total)
    async for charges in read(clickhouse, parts):
        found.add(charges.height, await asyncio.to_thread(changes, charges, prices))
        progress(found.examined, total)
    found.gone = await _gone(clickhouse, period)
    return found


async def _gone(clickhouse: ClickHouse, period: Period) -> int:
    """Events of the whole minutes of a period that the sums count and the ledger does not."""
    first, end = -(-period.since // MINUTE_US) * MINUTE_US, period.until // MINUTE_US * MINUTE_US
    where = period.between(first, end).where_in_sums()
    summed = await clickhouse.query(f"select sum(events) from v_cost_minute where {where}", period.parameters)
    charged = await clickhouse.query(f"select count() from charges where {where}", period.parameters)
    return max(0, int(summed[0][0]) - int(charged[0][0]))


async def apply(publisher: Publisher, found: Diff, run: CorrectionRun, progress: Progress) -> int:
    """Publish the corrections of a diff; returns how many. Raises `NotNowError`; the run may then be given again."""
    return await found.packed.publish(lambda corrections: publish(publisher, corrections, run), progress)
