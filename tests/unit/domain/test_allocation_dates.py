"""A rule with dates takes the cost of its days, by what was used on its days, and leaves every other day alone."""

from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain.allocation import Rule, SourceRow, allocate
from spendstream.domain.allocation.rules import rewritten
from spendstream.domain.allocation.stretches import turns
from spendstream.domain.effective import ALWAYS, micros_from
from tests.support.allocation import (
    DAY_NUMBERS,
    EDGES,
    RULES,
    november,
    row,
    rows,
    rule,
    usd_by_team,
    wrong,
)

DAILY = st.lists(st.tuples(rows(), DAY_NUMBERS).map(lambda drawn: drawn[0]._replace(days=november(drawn[1]))))
FIXED: dict[str, Any] = {"model": "fixed", "match": {"category": "infrastructure"}}


def contract(name: str, shares: dict[str, Any], **dates: str) -> Rule:
    return rule(name, **FIXED, shares=shares, **dates)


OLD = contract("contract-2025", {"search": Decimal("0.5"), "ads": Decimal("0.5")}, effective_to="2026-11-16")
NEW = contract("contract-2026", {"search": Decimal("0.2"), "ads": Decimal("0.8")}, effective_from="2026-11-16")


def cost(usd: str | int, first: int, last: int | None = None, **fields: Any) -> SourceRow:
    return row(usd, source="billing", category="infrastructure", days=november(first, last), **fields)


def test_each_day_is_shared_by_the_contract_of_that_day() -> None:
    month = [cost(10, 1), cost(20, 15), cost(40, 16), cost(80, 30)]
    found = usd_by_team(allocate(month, [NEW, OLD]))
    assert found == {"search": 15 + 24, "ads": 15 + 96}


def test_a_charge_for_many_days_is_divided_by_the_days_of_each_contract() -> None:
    # $100 for the whole of November: 15 days under the old contract, 15 under the new; then 10 of 12 days.
    assert usd_by_team(allocate([cost(100, 1, 30)], [OLD, NEW])) == {"search": 25 + 10, "ads": 25 + 40}
    assert usd_by_team(allocate([cost(12, 6, 17)], [OLD, NEW])) == {
        "search": Decimal("5.4"), "ads": Decimal("6.6")
    }  # fmt: skip


def test_the_last_pico_dollar_of_a_divided_charge_goes_to_the_earlier_days_on_a_tie() -> None:
    month = [cost("0.000000000001", 15, 16)]
    assert usd_by_team(allocate(month, [contract("a", {"x": 1}, effective_to="2026-11-16")])) == {
        "x": Decimal("0.000000000001")
    }


def test_a_metric_is_measured_on_the_days_of_the_rule() -> None:
    database = {"model": "proportional", "metric": "requests"}
    first = rule("database-1", **database, effective_to="2026-11-11")
    second = rule("database-2", **database, effective_from="2026-11-11")
    month = [
        row(30, category="data_storage", days=november(1, 10)), row(60, category="data_storage", days=november(11, 30)),
        row(metrics={"requests": 3}, team="search", days=november(10)),
        row(metrics={"requests": 3}, team="ads", days=november(11)),
        row(metrics={"requests": 1}, team="search", days=november(30)),
    ]  # fmt: skip
    assert usd_by_team(allocate(month, [first, second])) == {"search": 30 + 15, "ads": 45}
    # One rule without dates measures the month: 4 requests to 3.
    month.append(row("-20", category="data_storage", days=november(2)))
    assert usd_by_team(allocate(month, [rule("database", **database)])) == {"search": 40, "ads": 30}


def test_a_metric_that_was_not_used_on_the_days_of_the_rule_leaves_them_unallocated() -> None:
    month = [
        row(5, category="data_storage", days=november(20)),
        row(metrics={"requests": 9}, team="search", days=november(3)),
    ]
    late = rule(model="proportional", metric="requests", effective_from="2026-11-20")
    (found,) = [placement for placement in allocate(month, [late]) if placement.origin.category == "data_storage"]
    assert (found.kind, found.reason) == ("unallocated", "metric requests was not measured in the period")


def test_owners_are_active_on_the_days_of_the_rule_only() -> None:
    month = [
        row(8, category="data_storage", days=november(20)), row(1, team="search", days=november(19)),
        row(1, team="ads", days=november(20)), row(1, team="chat", days=november(1, 30)),
    ]  # fmt: skip
    found = usd_by_team(allocate(month, [rule(model="even", effective_from="2026-11-20")]))
    assert found == {"ads": 4, "chat": 4}


def test_where_rules_overlap_the_first_one_counts_while_it_is_in_force() -> None:
    pilot = rule(
        "pilot", **FIXED, shares={"chat": 1}, priority=1, effective_from="2026-11-10", effective_to="2026-11-12"
    )
    always = contract("always", {"ads": 1})
    month = [cost(1, 9), cost(2, 10), cost(4, 11), cost(8, 12)]
    assert usd_by_team(allocate(month, [always, pilot])) == {"chat": 6, "ads": 9}


def undated(one: Rule) -> Rule:
    return replace(one, effective=ALWAYS)


@settings(deadline=None)
@given(DAILY, RULES.filter(bool).map(lambda rules: rules[0]))
def test_a_rule_with_dates_does_on_its_days_what_one_without_does_to_these_days_alone(
    month: list[SourceRow], dated: Rule
) -> None:
    inside = [each for each in month if dated.effective.covers(micros_from(each.days.first))]
    outside = [each for each in month if each not in inside]
    expected = Counter(allocate(inside, [undated(dated)]))
    expected.update(allocate(outside, []))
    assert allocate(month, [dated]) == {placement: pico for placement, pico in expected.items() if pico}


@settings(deadline=None)
@given(st.lists(rows(), max_size=12), RULES, EDGES)
def test_a_rule_that_takes_nothing_changes_nothing_whatever_its_dates(
    month: list[SourceRow], rules: list[Rule], day: str
) -> None:
    idle = rule("idle", match={"service": "nowhere"}, model="even", priority=-1, effective_from=day)
    assert allocate(month, [*rules, idle]) == allocate(month, rules)


@settings(deadline=None)
@given(st.lists(rows(), max_size=12), RULES)
def test_rules_of_other_months_are_no_rules(month: list[SourceRow], rules: list[Rule]) -> None:
    over = [rule("over", model="even", match={"source": "usage"}, priority=-1, effective_to="2026-11-01")]
    soon = [rule("soon", model="even", match={"source": "usage"}, priority=-1, effective_from="2026-12-01")]
    assert allocate(month, [*over, *rules, *soon]) == allocate(month, rules)


@settings(deadline=None)
@given(st.lists(rows(), max_size=12), DAY_NUMBERS.filter(lambda n: n > 1))
def test_two_versions_of_one_contract_with_the_same_shares_are_one_contract_to_the_last_unit_of_each_pool(
    month: list[SourceRow], day: int
) -> None:
    shares = {
        "model": "fixed",
        "shares": {"search": Decimal("0.3"), "ads": Decimal("0.7")},
        "match": {"source": "billing"},
    }
    halves = [
        rule("first", **shares, effective_to=f"2026-11-{day:02}"),
        rule("second", **shares, effective_from=f"2026-11-{day:02}"),
    ]
    apart: Counter[Any] = Counter()
    for sign, rules in ((1, [rule(**shares)]), (-1, halves)):
        for placement, pico in allocate(month, rules).items():
            apart[placement.origin.category, placement.kind, placement.tags] += sign * pico
    assert all(abs(pico) <= 2 for pico in apart.values())


def test_the_days_on_which_rules_change_are_known() -> None:
    assert turns([OLD, NEW, contract("x", {"a": 1}, effective_from="2026-12-01")]) == [
        date(2026, 11, 16), date(2026, 12, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dates", "path", "said"),
    [
        ({"effective_from": "2026-11-16", "effective_to": "2026-11-16"}, "effective_to", "later than effective_from"),
        ({"effective_from": "2026-12-01", "effective_to": "2026-11-01"}, "effective_to", "later than effective_from"),
        ({"effective_from": "2026-11-16T12:00:00Z"}, "effective_from", "midnight UTC"),
        ({"effective_from": "2026-11-16T00:00:00+01:00"}, "effective_from", "midnight UTC"),
        ({"effective_from": "2026-11-16T00:00:00"}, "effective_from", "offset"),
        ({"effective_to": "2026-11-31"}, "effective_to", "must be a day"),
        ({"effective_to": "november"}, "effective_to", "must be a day"),
        ({"effective_to": 2026}, "effective_to", "must be a day"),
        ({"effective_to": ["2026-11-01"]}, "effective_to", "must be a day"),
    ],
)
def test_dates_that_cannot_be_meant_are_refused_in_words(dates: dict[str, Any], path: str, said: str) -> None:
    assert said in wrong(**FIXED, shares={"ads": 1}, **dates)[path]


def test_midnight_utc_is_a_day_however_it_is_written() -> None:
    for text in ("2026-11-16", "2026-11-16T00:00:00Z", "2026-11-16T01:00:00+01:00"):
        assert contract("x", {"ads": 1}, effective_from=text).effective == NEW.effective


def test_a_document_that_changes_what_was_agreed_before_is_warned_about_and_one_that_ends_is_not() -> None:
    shares = {"search": Decimal("0.5"), "ads": Decimal("0.5")}
    agreed, ended = contract("contract-2025", shares), contract("contract-2025", shares, effective_to="2026-11-16")
    assert rewritten(agreed, agreed) == rewritten(agreed, ended) == []
    ((path, said),) = rewritten(agreed, contract("contract-2025", {"ads": 1}))
    assert path == "" and "effective_to" in said and "effective_from" in said
