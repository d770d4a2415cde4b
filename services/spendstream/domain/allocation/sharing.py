"""Who gets which share of a pool of cost."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from spendstream.domain.allocation.model import ALLOCATED, IDLE, UNALLOCATED, SourceRow, Tags
from spendstream.domain.allocation.rules import Rule, matches
from spendstream.domain.money import split

#: The values of the tags that shares are made for.
Key = tuple[str, ...]
QUANTITY_UNIT = 10**12

NO_OWNER_USED = "share of usage without an owner"
NOT_COVERED = "beyond the agreed cost of the activities"
NOBODY_ACTIVE = "no owner was active in the period"
NOT_COVERED_KEY: Key = ("\uffff",) * 5  # longer than any other and the last: a tie goes to an owner


class Target(NamedTuple):
    """Who bears a share."""

    kind: str
    reason: str
    tags: Tags


class Shares(NamedTuple):
    """Integer weights by key; empty with the `reason` when there is nobody to charge."""

    weights: dict[Key, int]
    reason: str = ""


def shares_of(rule: Rule, rows: Iterable[SourceRow], in_place: Iterable[SourceRow]) -> Shares:
    """The weights a rule gives to owners, from what was used in the period. `in_place`: the rows no rule shares out."""
    if rule.model == "fixed":
        return Shares(_as_integers(rule.shares))
    if rule.model == "even":
        return _active(rule, in_place)
    counted = (row for row in rows if row.kind != IDLE and matches(rule.over, row))
    weights: dict[Key, int] = {}
    for row in counted:
        if rule.metric in row.metrics:
            key = _key(rule, row)
            weights[key] = weights.get(key, 0) + row.metrics[rule.metric]
    return _usable(weights, rule.metric)


def _active(rule: Rule, in_place: Iterable[SourceRow]) -> Shares:
    """Equal weights for owners with usage or GPU time of their own. An invoice line is no activity."""
    owners = {
        _key(rule, row)
        for row in in_place
        if row.dimensions["source"] != "billing" and row.kind != IDLE and matches(rule.over, row)
        and (row.cost_pico_usd or any(row.metrics.values()))
    }  # fmt: skip
    weights = {key: 1 for key in owners if not _is_nobody(key)}
    return Shares(weights) if weights else Shares({}, NOBODY_ACTIVE)


def _usable(weights: dict[Key, int], metric: str) -> Shares:
    if not weights:
        return Shares({}, f"metric {metric} was not measured in the period")
    positive = {key: weight for key, weight in weights.items() if weight}
    if not positive:
        return Shares({}, f"metric {metric} sums to zero in the period")
    if min(positive.values()) < 0:
        return Shares({}, f"metric {metric} is negative for an owner")
    return Shares(positive)


def weights_for(rule: Rule, shares: Shares, pool_pico_usd: int) -> dict[Key, int]:
    """The weights for a pool. Activities with an agreed cost take that much and leave the rest unallocated; where
    they would take more than there is, the pool is shared by their counts."""
    if rule.unit_cost_pico_usd is None:
        return shares.weights
    agreed = {
        key: round(Fraction(rule.unit_cost_pico_usd * count, QUANTITY_UNIT)) for key, count in shares.weights.items()
    }
    rest = pool_pico_usd - sum(agreed.values())
    return {**agreed, NOT_COVERED_KEY: rest} if rest >= 0 else shares.weights


def target(rule: Rule, key: Key) -> Target:
    """Who a key stands for. Tags that the rule's `by` does not name are unallocated."""
    if key == NOT_COVERED_KEY:
        return Target(UNALLOCATED, NOT_COVERED, Tags())
    if _is_nobody(key):
        return Target(UNALLOCATED, NO_OWNER_USED, Tags())
    return Target(ALLOCATED, "", Tags(**dict(zip(rule.by, key, strict=True))))


def spread(amounts: Sequence[int], weights: dict[Key, int]) -> Iterator[dict[Key, int]]:
    """Each of `amounts` split so that all parts of one key add up to its part of the whole.

    The whole is split once by largest remainder (`money.split`); the amounts get the differences between splits of
    running totals. So rows and columns of this table both add up, to the last unit, with any signs.
    """
    keys = sorted(weights)
    numbers = [weights[key] for key in keys]
    running, before = 0, [0] * len(keys)
    for amount in amounts:
        running += amount
        after = split(running, numbers, keys)
        yield {key: b - a for key, a, b in zip(keys, before, after, strict=True)}
        before = after


def _key(rule: Rule, row: SourceRow) -> Key:
    return tuple(row.dimensions[tag] or UNALLOCATED for tag in rule.by)


def _is_nobody(key: Key) -> bool:
    return all(value == UNALLOCATED for value in key)


def _as_integers(shares: Sequence[tuple[str, Fraction]]) -> dict[Key, int]:
    """Exact weights: every share over one common denominator."""
    common = lcm(*(share.denominator for _, share in shares))
    return {(owner,): int(share * common) for owner, share in shares}
