"""What a request, a user and a conversation of each service cost."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from spendstream.domain.economics.unit import UnitCosts, unit_costs
from spendstream.operations.reports.selection import Selection
from spendstream.operations.store import Store


class Usage(NamedTuple):
    """Counts and cost of a service, or of everything; users and conversations are those with an id."""

    service: str
    requests: int
    users: int
    conversations: int
    tokens: int
    cost_usd: Decimal
    error_cost_usd: Decimal
    not_priced_events: int  # without a price for all they used: their cost is not in it yet

    @property
    def tokens_per_request(self) -> float | None:
        return self.tokens / self.requests if self.requests else None

    @property
    def error_cost_share(self) -> float | None:
        """Share of the cost of calls that failed."""
        return float(self.error_cost_usd / self.cost_usd) if self.cost_usd else None

    def per_unit(self, revenue_usd: Decimal | None = None, users: int | None = None) -> UnitCosts:
        """USD per unit; `users` where somebody knows better than the ids on the usage do."""
        return unit_costs(
            self.cost_usd, self.requests, self.users if users is None else users, self.conversations, revenue_usd
        )


def by_service(store: Store, selection: Selection) -> Sequence[Usage]:
    """One row per service, the dearest first."""
    return [row for row in _usage(store, selection, "service") if row.requests or row.cost_usd]


def altogether(store: Store, selection: Selection) -> Usage:
    """Everything selected: who uses two services is one user."""
    return _usage(store, selection, "''")[0]


def _usage(store: Store, selection: Selection, service: str) -> Sequence[Usage]:
    """Cost and counts from v_cost, people and failures from the charges."""
    grouped = "" if service == "''" else " group by name"
    cost = (
        f"select {service} as name, sum(requests) as requests, sum(input_tokens + output_tokens) as tokens,"
        " sum(cost_usd) as cost_usd, countIf(status != 'priced') as not_priced"
        f" from v_cost where {selection.sql}{grouped}"
    )
    people = (
        f"select {service} as name, uniqExactIf(user_id, user_id != '') as users,"
        " uniqExactIf(session_id, session_id != '') as conversations,"
        " sumIf(cost_usd, call_status != 'ok') as error_cost_usd"
        f" from (select *, toDate(ts) as day from v_charges) where {selection.sql}{grouped}"
    )
    return [Usage(*row) for row in store.rows(
        "select cost.name, requests, users, conversations, tokens, cost_usd, error_cost_usd, not_priced"
        f" from ({cost}) as cost left join ({people}) as people using (name) order by cost_usd desc, name",
        **selection.parameters,
    )]  # fmt: skip
