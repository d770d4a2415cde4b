"""Statements: what each team is charged for a month or several, in one page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from spendstream.domain.periods import Period
from spendstream.operations.reports.selection import NO_MONEY, Selection, Table, exact_sum
from spendstream.operations.store import Store

KINDS = ("direct", "allocated", "idle", "unallocated")
DETAIL = ("month", "org", "team", "project", "environment", "cost_center", "category", "kind", "source", "cost_usd")
TOP = 5


class Whose(NamedTuple):
    """Statements of one team, one organisation, or all of them (None)."""

    team: str | None = None
    org: str | None = None

    @property
    def sql(self) -> str:
        """Behind a condition; values are bound as in `parameters`."""
        return "".join(f" and {name} = %({name})s" for name in self.parameters)

    @property
    def parameters(self) -> dict[str, str]:
        """What `sql` needs."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Item(NamedTuple):
    """What a team is charged for. `why`: the rule that shared it out, the idle bucket, or why nobody owns it."""

    source: str
    service: str
    kind: str
    why: str
    cost_usd: Decimal


@dataclass(frozen=True)
class Statement:
    """One team's bill: `amounts` by (category, kind), the same as `items`, `previous_usd` in the period before, and
    what is not in it yet: `not_priced_events`, without a price for all they used. `top_models`: of its own calls."""

    org: str
    team: str
    period: Period
    amounts: dict[tuple[str, str], Decimal]
    previous_usd: Decimal
    top_models: Sequence[tuple[str, Decimal]]
    items: Sequence[Item]
    not_priced_events: int

    @property
    def categories(self) -> Sequence[str]:
        """In order of name."""
        return sorted({category for category, _ in self.amounts})

    @property
    def total_usd(self) -> Decimal:
        """All of it."""
        return self.of()

    def of(self, category: str | None = None, kind: str | None = None) -> Decimal:
        """The amount of a category, a kind, both, or everything."""
        return _sum(
            amount for (of_category, of_kind), amount in self.amounts.items()
            if category in (None, of_category) and kind in (None, of_kind)
        )  # fmt: skip


def detail(store: Store, period: Period, whose: Whose) -> Table:
    """The rows of v_chargeback_month behind the statements."""
    return Table(DETAIL, store.rows(
        f"select {', '.join(DETAIL)} from v_chargeback_month where {_months(period)}{whose.sql}"
        f" order by {', '.join(DETAIL[:-1])}",
        **whose.parameters,
    ))  # fmt: skip


def statements(store: Store, period: Period, whose: Whose) -> Sequence[Statement]:
    """One for each team that is charged something in the period, or was in the one before; the dearest first."""
    now, before = (_amounts(store, each, whose) for each in (period, period.previous()))
    models, items = _top_models(store, period, whose), _items(store, period, whose)
    not_priced = _not_priced(store, period, whose)
    found = []
    for key in now.keys() | before.keys():
        amounts, earlier = now.get(key, {}), before.get(key, {})
        found.append(Statement(
            *key, period, amounts, _sum(earlier.values()), models.get(key, ()), items.get(key, ()),
            not_priced.get(key, 0),
        ))  # fmt: skip
    return sorted(found, key=lambda statement: (-statement.total_usd, statement.org, statement.team))


def _amounts(store: Store, period: Period, whose: Whose) -> dict[tuple[str, str], dict[tuple[str, str], Decimal]]:
    found: dict[tuple[str, str], dict[tuple[str, str], Decimal]] = {}
    rows = store.rows(
        "select org, team, category, kind, sum(cost_usd) from v_chargeback_month"
        f" where {_months(period)}{whose.sql} group by org, team, category, kind",
        **whose.parameters,
    )
    for org, name, category, kind, usd in rows:
        found.setdefault((org, name), {})[category, kind] = usd
    return found


def _items(store: Store, period: Period, whose: Whose) -> dict[tuple[str, str], list[Item]]:
    """What each team is charged for, the dearest first."""
    rows = store.rows(
        "select org, team, source, service, kind, if(kind = 'allocated', rule, reason) as why, sum(cost_usd) as usd"
        f" from v_allocated where {_months(period)}{whose.sql}"
        " group by org, team, source, service, kind, why having usd != 0 order by usd desc, source, service, kind, why",
        **whose.parameters,
    )
    found: dict[tuple[str, str], list[Item]] = {}
    for org, name, *item in rows:
        found.setdefault((org, name), []).append(Item(*item))
    return found


def _top_models(store: Store, period: Period, whose: Whose) -> dict[tuple[str, str], list[tuple[str, Decimal]]]:
    """The dearest models of each team's own calls."""
    rows = store.rows(
        "select org, team, model, sum(cost_usd) as usd from v_cost"
        f" where {Selection(period).sql}{whose.sql} group by org, team, model having usd != 0"
        f" order by usd desc, model limit {TOP} by org, team",
        **whose.parameters,
    )
    found: dict[tuple[str, str], list[tuple[str, Decimal]]] = {}
    for org, name, model, usd in rows:
        found.setdefault((org, name), []).append((model, usd))
    return found


def _not_priced(store: Store, period: Period, whose: Whose) -> dict[tuple[str, str], int]:
    rows = store.rows(
        "select org, team, count() from v_cost"
        f" where {Selection(period).sql}{whose.sql} and status != 'priced' group by org, team",
        **whose.parameters,
    )
    return {(org, name): count for org, name, count in rows}


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return Decimal(exact_sum(amounts, NO_MONEY))


def _months(period: Period) -> str:
    return f"month >= '{_day(period.start)}' and month < '{_day(period.end)}'"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
