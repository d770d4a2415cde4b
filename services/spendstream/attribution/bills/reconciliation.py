"""Watches invoices against estimates and says on `alerts` when a provider's month is beyond its tolerance.

One worker does it: the one that holds `billing`. What was published is recalled from `alerts`, so nothing fires twice.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from mode import Service

from spendstream.domain.alerts import AlertBook
from spendstream.domain.billing.reconciliation import Cell, variance
from spendstream.domain.billing.tolerance import (
    NAME,
    Month,
    Tolerance,
    alert,
    alert_id,
    beyond,
    parse_tolerance,
    tolerance_for,
)
from spendstream.domain.money import quantise_usd
from spendstream.runtime import clock
from spendstream.runtime.kafka.reader import read_all
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.service import Context
from spendstream.schemas import Undecodable, decode, encode

log = structlog.get_logger()
LOOK_EVERY_S = 2.0
#: Usage and prices change without a bill: look again after this even when no bill came.
AGAIN_AFTER_S = 300.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The newest line, how many there are, and imports that have not sent all of theirs (and have not died over it).
STATE = """
select max(version), count(), (
  select count() from (
    select argMax(state, updated_at) as newest, max(updated_at) as at from imports
    where kind = 'billing' group by digest
  ) where newest = 'begun' and at > now() - interval 10 minute
) from billing_items
"""
FACTS = """
select org, provider, day, estimate_usd, events, unpriced_events, partial_events, stream_tokens, unpriced_tokens,
  bill_lines, usage_effective_usd, usage_contracted_usd, usage_list_usd, bill_tokens, repeated_effective_usd,
  repeated_contracted_usd, repeated_list_usd, repeated_tokens, other_usd, corrections_usd, bill_decimals
from v_reconciliation_facts where covered
"""


class ReconciliationWatch(Service):  # type: ignore[misc]  # mode is untyped
    """Compares whenever a bill or a policy has changed, and every few minutes. `mine`: whether this worker should."""

    def __init__(self, context: Context, mine: Callable[[], bool]) -> None:
        super().__init__()
        self._context, self._mine = context, mine
        self._book = AlertBook()
        self._recalled = 0
        self._present: tuple[int, ...] | None = None
        self._seen: tuple[int, ...] | None = None
        self._seen_at = 0.0

    @Service.task  # type: ignore[untyped-decorator]
    async def _watch(self) -> None:
        while not self.should_stop:
            await self.sleep(LOOK_EVERY_S)
            if not self._mine():
                self._seen = None
                continue
            try:
                await retrying("reconciling", self._look, retry_on=(NotNowError, KafkaError, OSError))
            except Exception:  # attribution goes on whatever is wrong with a comparison
                log.exception("invoices cannot be reconciled", again_in_s=AGAIN_AFTER_S)
                await self.sleep(AGAIN_AFTER_S)

    async def _look(self) -> None:
        [(newest, lines, importing)] = await self._context.clickhouse.query(STATE)
        state, now = (int(newest), int(lines), self._context.control.log.offset), asyncio.get_running_loop().time()
        # Half a bill is no bill: not while lines still come in.
        still, self._present = state == self._present and not importing, state
        if not lines or not still or (state == self._seen and now - self._seen_at < AGAIN_AFTER_S):
            return
        await self._recall()
        months = months_of(await self._context.clickhouse.query(FACTS))
        changes = judge(self._book, months, self._tolerances(), clock.now_us())
        if changes:
            messages = [(record["alert_id"].encode(), encode("Alert", record)) for record in changes]
            await self._context.publisher.send("alerts", messages)
        self._seen, self._seen_at = state, now

    async def _recall(self) -> None:
        """Learn what has been published, also by a worker that held `billing` before."""
        for record in await read_all(self._context.settings, "alerts", start=self._recalled):
            self._recalled = record.offset + 1
            try:
                published = decode(record.value)[1]
            except Undecodable:
                continue
            if published["kind"] == "governance" and published["name"] == NAME:
                self._book.recall(published)

    def _tolerances(self) -> dict[str, list[Tolerance]]:
        found: dict[str, list[Tolerance]] = {}
        for document in self._context.control.log.documents("Policy"):
            if document.spec.get("kind") != NAME:
                continue
            tolerance, errors = parse_tolerance(document.name, document.spec)
            if tolerance is None:
                log.error("policy ignored", name=document.name, errors=errors)
            else:
                found.setdefault(document.org, []).append(tolerance)
        return found


def months_of(rows: Iterable[Sequence[Any]]) -> list[Month]:
    """Rows of FACTS added up by organisation, provider and month."""
    months: dict[tuple[str, str, date], Month] = {}
    for org, provider, day, *facts in rows:
        first = day.replace(day=1)
        start = (datetime.combine(first, time(), UTC) - EPOCH) // timedelta(microseconds=1)
        cell = cell_of(facts)
        month = months.setdefault((org, provider, first), Month(org, provider, start))
        month.add(cell.estimate, cell.invoice, variance(cell))
    return list(months.values())


def cell_of(facts: Sequence[Any]) -> Cell:
    """A covered cell from the columns of FACTS behind the day."""
    (estimate, events, unpriced, partial, tokens, unpriced_tokens, lines, effective, contracted, listed, quantity,
     again, again_contracted, again_list, again_quantity, other, corrections, decimals) = facts  # fmt: skip
    return Cell(
        covered=True, estimate=_pico(estimate), events=events, unpriced_events=unpriced, partial_events=partial,
        stream_tokens=tokens, unpriced_tokens=unpriced_tokens, lines=lines, effective=_pico(effective),
        contracted=_pico(contracted), list_cost=_pico(listed), quantity=None if quantity is None else _pico(quantity),
        repeated_effective=_pico(again), repeated_contracted=_pico(again_contracted), repeated_list=_pico(again_list),
        repeated_quantity=_pico(again_quantity), other=_pico(other), corrections=_pico(corrections), decimals=decimals,
    )  # fmt: skip


def judge(
    book: AlertBook, months: Sequence[Month], tolerances: dict[str, list[Tolerance]], now: int
) -> list[dict[str, Any]]:
    """The alert states to publish: months that are beyond their tolerance now, and those that no longer are."""
    found: list[dict[str, Any]] = []
    firing: set[str] = set()
    for month in months:
        tolerance = tolerance_for(month.provider, tolerances.get(month.org, []))
        if beyond(month, tolerance):
            firing.add(alert_id(month))
            if (record := book.fire(alert(month, tolerance, now), now)) is not None:
                found.append(record)
    for key, _ in list(book.open_alerts()):
        if key not in firing and (record := book.resolve(key, now, now)) is not None:
            found.append(record)
    return found


def _pico(amount: Decimal) -> int:
    return quantise_usd(amount)[0]
