"""Where budgets and recommendations stand, by their newest rows."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from aiokafka.errors import KafkaError

from spendstream.operations.store import Store
from spendstream.runtime.control import TOPIC, ControlLog
from spendstream.runtime.kafka.reader import read_all
from spendstream.runtime.settings import Settings

ANSWER_WITHIN_S = 15.0

# Documents that were deleted: their last row stays in budget_status. The key of another organisation names it.
DELETED = """
select if(org in ('', 'default'), name, concat(org, '/', name)) as label from audit_log final where kind = 'Budget'
group by label having argMax(action, control_offset) = 'delete'
"""


class BudgetStatus(NamedTuple):
    """One budget in one window; `share` is spent ÷ amount, `state` ok or its alert's state."""

    org: str
    budget: str
    scope: dict[str, str]
    window_start: datetime
    window_end: datetime
    spent_usd: Decimal
    amount_usd: Decimal
    share: float
    forecast_usd: Decimal | None
    state: str
    severity: str
    updated_at: datetime


class Saving(NamedTuple):
    """One recommendation at its newest revision; USD a month."""

    org: str
    recommendation_id: str
    kind: str
    target: dict[str, str]
    title: str
    monthly_saving_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    confidence: float
    effort: str
    risk: str
    owner: str
    state: str
    realised_usd: Decimal | None
    updated_at: datetime


def declared_budgets(settings: Settings) -> frozenset[tuple[str, str]] | None:
    """(organisation, name) of the `Budget` documents in force; None when the broker does not say."""

    async def documents() -> ControlLog:
        log = ControlLog()
        async with asyncio.timeout(ANSWER_WITHIN_S):
            for record in await read_all(settings, TOPIC):
                log.add(record.offset, record.key, record.value)
        return log

    try:
        found = asyncio.run(documents())
    except (KafkaError, OSError):  # also TimeoutError
        return None
    return frozenset((document.org, document.name) for document in found.documents("Budget"))


def budgets(store: Store, all_windows: bool) -> Sequence[BudgetStatus]:
    """Newest row of each budget's latest window, or of every window; budgets that were deleted are left out."""
    latest = "" if all_windows else " order by window_start desc limit 1 by org, budget"
    return [BudgetStatus(*row) for row in store.rows(
        f"select {', '.join(BudgetStatus._fields)} from ("
        f"select {', '.join(BudgetStatus._fields)} from ("
        f"select {', '.join(BudgetStatus._fields)} from budget_status"
        f" where if(org = 'default', budget, concat(org, '/', budget)) not in ({DELETED})"
        " order by updated_at desc limit 1 by org, budget, window_start"
        f"){latest}) order by share desc, org, budget, window_start desc"
    )]  # fmt: skip


def recommendations(store: Store, state: str | None) -> Sequence[Saving]:
    """Newest revision of each recommendation, the largest saving first."""
    where = "" if state is None else " where state = %(state)s"
    return [Saving(*row) for row in store.rows(
        f"select {', '.join(Saving._fields)} from ("
        "select * from recommendations order by revision desc limit 1 by org, recommendation_id"
        f"){where} order by monthly_saving_usd desc, recommendation_id",
        **({} if state is None else {"state": state}),
    )]  # fmt: skip
