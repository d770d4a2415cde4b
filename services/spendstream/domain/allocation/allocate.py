"""From source rows to placements: the first rule that matches decides, and no pico-dollar is lost."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from spendstream.domain.allocation.model import (
    DIRECT,
    IDLE,
    UNALLOCATED,
    Origin,
    Placement,
    SourceRow,
    Tags,
    in_place,
    summed,
)
from spendstream.domain.allocation.rules import Rule, in_order, matches
from spendstream.domain.allocation.sharing import Shares, shares_of, spread, target, weights_for
from spendstream.domain.allocation.stretches import Stretches

#: One pool is shared out at once: what a rule takes of a category of a source.
Pool = tuple[str, str, str]


def allocate(rows: Sequence[SourceRow], rules: Iterable[Rule]) -> dict[Placement, int]:
    """Who bears the cost of one organisation's month: pico-dollars by placement, adding up to the rows.

    A row goes to the first rule (`in_order`) that matches and is in force on its days; without one, and in model
    `direct`, it stays where it is. Idle cost is never shared out: it stays in its named bucket. The order of rows and
    rules changes nothing, nor does a rule that takes nothing.
    """
    ordered = in_order(rules)
    stretches = Stretches(ordered)
    days = {rule.name: stretches.of(rule) for rule in ordered}
    cut = stretches.cut(rows)
    parts: list[tuple[Placement, int]] = []
    pools: dict[Pool, dict[Origin, int]] = {}
    stay: list[list[SourceRow]] = [[] for _ in cut]
    for number, here in enumerate(cut):
        rule_of = _Choice([rule for rule in ordered if number in days[rule.name]])
        for row in here:
            rule = None if row.kind == IDLE else rule_of(row)
            if rule is None or rule.model == DIRECT:
                stay[number].append(row)
                why = (rule.name, rule.counted_in) if rule else ("", "")
                parts.append((in_place(row.origin, *why), row.cost_pico_usd))
            else:
                pool = pools.setdefault((rule.name, row.dimensions["source"], row.dimensions["category"]), {})
                pool[row.origin] = pool.get(row.origin, 0) + row.cost_pico_usd
    named = {rule.name: rule for rule in ordered}
    shares = {
        name: shares_of(named[name], _of_days(cut, days[name]), _of_days(stay, days[name]))
        for name in {name for name, _, _ in pools}
    }
    for (name, _, _), pool in pools.items():
        parts += _shared_out(named[name], shares[name], pool)
    return summed(parts)


def _of_days(rows: Sequence[Sequence[SourceRow]], numbers: Iterable[int]) -> Iterator[SourceRow]:
    return chain.from_iterable(rows[number] for number in numbers)


class _Choice:
    """The first rule that matches a row; rows alike in what rules look at are decided once."""

    def __init__(self, ordered: Sequence[Rule]) -> None:
        self._ordered = ordered
        self._dimensions = sorted({dimension for rule in ordered for dimension in rule.match})
        self._known: dict[tuple[str, ...], Rule | None] = {}

    def __call__(self, row: SourceRow) -> Rule | None:
        values = tuple(row.dimensions[dimension] for dimension in self._dimensions)
        if values not in self._known:
            self._known[values] = next((rule for rule in self._ordered if matches(rule.match, row)), None)
        return self._known[values]


def _shared_out(rule: Rule, shares: Shares, pool: Mapping[Origin, int]) -> Iterator[tuple[Placement, int]]:
    origins = sorted(pool)
    weights = weights_for(rule, shares, sum(pool.values()))
    if not any(weights.values()):
        for origin in origins:
            nobody = (UNALLOCATED, shares.reason, Tags())
            yield Placement(origin, rule.name, rule.model, rule.counted_in, *nobody), pool[origin]
        return
    targets = {key: target(rule, key) for key in weights}
    for origin, parts in zip(origins, spread([pool[origin] for origin in origins], weights), strict=True):
        for key, pico_usd in parts.items():
            yield Placement(origin, rule.name, rule.model, rule.counted_in, *targets[key]), pico_usd
