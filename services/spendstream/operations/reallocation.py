"""Computing a month's allocation again: the difference first, then a new version.

Formula  new version = allocate(sources of the month, rules in force on its days) − newest version, if that is anything.
Reads    control (AttributionRule documents, given by the caller); ClickHouse v_allocation_source, allocations.
Writes   ClickHouse allocations.
State    none: computing again gives the same, and what is there already is not written again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from spendstream.domain.allocation import Amounts, Move, Rule, allocate, as_shown, difference, digest, moves, parse_rule
from spendstream.domain.allocation.stretches import turns
from spendstream.domain.effective import micros_from
from spendstream.operations import allocation_ledger as ledger
from spendstream.operations.allocation_ledger import Month, Version
from spendstream.operations.store import Store
from spendstream.runtime.settings import Settings

#: How long a charge is kept after rating (infra/clickhouse/0001_ledger.sql).
CHARGES_KEPT = timedelta(days=400)


class RuleDocument(Protocol):
    """What is read of an applied `AttributionRule`."""

    @property
    def org(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> Mapping[str, Any]: ...


class UnusableRuleError(Exception):
    """A document on the control topic is no rule: a program that checked less let it pass."""


class OvertakenError(Exception):
    """Somebody else wrote the version first."""


@dataclass(frozen=True)
class Reallocation:
    """What a new version of one organisation's month would be.

    `shown`: what `v_allocated` says now; `amounts`: what it would say; both add up to the sources. `changes`: what the
    version adds to the newest one, `base` (0: there is none). `oldest_rated_at`: of all charges it was ever made from.
    """

    org: str
    month: Month
    base: int
    rules: Sequence[Rule]
    shown: Amounts
    amounts: Amounts
    changes: Amounts
    control_offset: int
    oldest_rated_at: datetime

    @property
    def is_new(self) -> bool:
        return bool(self.changes)

    def may_forget(self, now: datetime) -> bool:
        """True where a new version could take back cost only because charges of the month have expired."""
        return self.is_new and self.base > 0 and self.oldest_rated_at + CHARGES_KEPT <= now

    @property
    def version(self) -> int:
        """The number it has or would get."""
        return self.base + 1 if self.is_new else self.base

    @property
    def digest(self) -> str:
        return digest(self.amounts)

    @property
    def moves(self) -> Sequence[Move]:
        return moves(self.shown, self.amounts)

    @property
    def source_change_pico_usd(self) -> int:
        """What the sources have become more since the newest version."""
        return sum(self.changes.values())


def compute(
    store: Store, documents: Iterable[RuleDocument], control_offset: int, month: Month, only_org: str | None = None
) -> Sequence[Reallocation]:
    """The allocation of a month, for every organisation that has cost in it. Changes nothing.

    `UnusableRuleError` when a document is no rule.
    """
    rules = [_rule(document) for document in documents]
    orgs = [only_org] if only_org else ledger.organisations(store, month)
    return [_one(store, [rule for rule in rules if rule.org == org], control_offset, org, month) for org in orgs]


def _one(store: Store, rules: Sequence[Rule], control_offset: int, org: str, month: Month) -> Reallocation:
    rules = [rule for rule in rules if rule.effective.overlaps(micros_from(month.start), micros_from(month.end))]
    known = ledger.newest(store, org, month)
    rows = ledger.sources(store, org, month, [day for day in turns(rules) if month.start < day < month.end])
    amounts = allocate(rows, rules)
    changes = difference(known.amounts, amounts)
    shown = as_shown(known.amounts, rows)
    oldest = ledger.oldest_rated_at(store, org, month)
    return Reallocation(org, month, known.version, rules, shown, amounts, changes, control_offset, oldest)


def _rule(document: RuleDocument) -> Rule:
    rule, errors = parse_rule(document.org, document.name, document.spec)
    if rule is None:
        wrong = "; ".join(f"{path} {message}" for path, message in errors)
        raise UnusableRuleError(f"AttributionRule/{document.name} of {document.org} cannot be used: {wrong}")
    return rule


async def write(settings: Settings, store: Store, made: Reallocation, known_at: datetime) -> None:
    """Write the version, if there is anything new; `OvertakenError` when another one took its number."""
    if not made.is_new:
        return
    version = Version(
        made.org, made.month, made.version, made.changes, made.digest, made.control_offset,
        made.oldest_rated_at, known_at,
    )  # fmt: skip
    await ledger.write(settings, version)
    if ledger.digest_of(store, made.org, made.month, made.version) != made.digest:
        raise OvertakenError(
            f"version {made.version} of {made.month.start:%Y-%m} was written by somebody else meanwhile"
        )
