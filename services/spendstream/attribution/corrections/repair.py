"""Automatic repair: what was rated without a complete price is priced once the price arrives, as a correction.

Only charges that are partial or unpriced, and only where that gets better: a price that is known later never moves a
priced charge by itself (`spendstream reprice` does, when somebody asks). It works beside the stream, in the worker that
holds the first partition of `corrections`; whoever believes so too makes the same revisions, which are void.

The ledger of charges follows the stream, so a charge rated before a price came may be written after: after each change
of prices it looks again, at first after seconds, then ever more rarely.
"""

import asyncio
from typing import Final

import structlog

from spendstream.attribution.looking import Looking
from spendstream.corrections.charges import Period, chunks, read
from spendstream.corrections.publish import TOPIC, CorrectionRun, publish, run_id
from spendstream.corrections.rerate import changes, is_known
from spendstream.corrections.standing import not_taken_in, topic_ends
from spendstream.domain.corrections import improvements
from spendstream.rating import PRICE_KINDS, BookShelf, Prices
from spendstream.runtime import clock
from spendstream.runtime.service import Context

log = structlog.get_logger()
SOON_S: Final = 0.5
# Rated without a complete price, or corrected to that later: two queries, because each finds its rows by an index.
STILL: Final = "status != 'priced'"
WITHOUT_PRICE: Final = (
    ("rated_status != 'priced'", STILL),
    (
        "(incarnation, partition, offset, item) in"
        " (select incarnation, partition, offset, item from corrections where status_after != 'priced')",
        "rated_status = 'priced'",
        STILL,
    ),
)
OF_MODELS: Final = "(org, reported_provider, reported_model) in {models:Array(Tuple(String, String, String))}"
MODELS_AT_ONCE: Final = 50  # their names are part of the address, which must stay below 1 MiB


class Repairer(Looking):
    """Looks for charges that can be priced by now: when prices change, when it takes over, and then once in a while."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, PRICE_KINDS)
        self._shelf = BookShelf(context.control.log)
        #: What was last looked at, per model: prices, charges, and when the last was written. The same is not repeated.
        self._looked: dict[tuple[str, ...], tuple[int, int, int]] = {}

    async def look(self) -> bool:
        return self._held and bool(await self._repair())

    def interrupted(self) -> None:
        self._looked.clear()  # some of it was not looked at to the end

    async def _repair(self) -> int:
        """Correct what can be priced; returns how many charges. While corrections are on their way it waits: 0."""
        context = self._context
        on_topic = await topic_ends(context.settings, await context.publisher.partitions(TOPIC))
        if await not_taken_in(self._clickhouse, on_topic):
            self.news()
            await asyncio.sleep(SOON_S)
            return 0
        prices, repaired = self._shelf.now().prices, 0
        name = run_id("repair", prices_at=self._prices_at)
        for conditions in WITHOUT_PRICE:
            for period in await self._candidates(conditions, prices):
                async for charges in read(self._clickhouse, await chunks(self._clickhouse, period)):
                    better = improvements(await asyncio.to_thread(changes, charges, prices))
                    if better.height:
                        run = CorrectionRun(name, "repair", clock.now_us())
                        repaired += await publish(context.publisher, better, run)
        if repaired:
            log.info("priced after the event", charges=repaired, run_id=name)
        return repaired

    async def _candidates(self, conditions: tuple[str, ...], prices: Prices) -> list[Period]:
        """Charges without a complete price of models that somebody has a price for, some models at a time."""
        rows = await self._clickhouse.query(
            "select toString(org), toString(reported_provider), toString(reported_model),"
            " toUnixTimestamp64Micro(min(ts)) as first, toUnixTimestamp64Micro(max(ts)), count(),"
            f" toUnixTimestamp64Micro(max(rated_at)) from v_charges where {' and '.join(conditions)}"
            " group by org, reported_provider, reported_model order by first"
        )
        found: list[tuple[tuple[str, str, str], int, int]] = []
        for org, provider, model, first, last, count, written in rows:
            seen = (self._prices_at, int(count), int(written))
            key = (conditions[0], org, provider, model)
            if self._looked.get(key) != seen and is_known(org, provider, model, prices):
                self._looked[key] = seen
                found.append(((org, provider, model), int(first), int(last) + 1))
        return [
            Period(
                min(first for _, first, _ in together), max(end for _, _, end in together), (*conditions, OF_MODELS),
                {"models": [names for names, _, _ in together]},
            )
            for together in (found[i : i + MODELS_AT_ONCE] for i in range(0, len(found), MODELS_AT_ONCE))
        ]  # fmt: skip
