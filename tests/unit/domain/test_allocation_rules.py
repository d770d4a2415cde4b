"""Rules: which one counts, what each model does, and what is wrong with a document."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spendstream.control.files import read_file
from spendstream.domain.allocation import allocate, parse_rule
from spendstream.domain.allocation.rules import unknown_metrics
from tests.support.allocation import row, rule, usd_by_team, wrong

EXAMPLES = Path(__file__).parents[3] / "examples"
SHARED = row("10", source="billing", category="data_storage", service="vector-db", team="platform")
USED = [
    row(3, team="search", project="rank", metrics={"requests": 6, "tokens": 0}),
    row(1, team="ads", project="bids", metrics={"requests": 3, "tokens": 0}),
    row(1, team="ads", project="mail", metrics={"requests": 1, "tokens": 0}),
]
MATCH = {"category": "data_storage"}


def test_without_a_rule_cost_stays_with_its_owner_and_cost_of_nobody_is_unallocated() -> None:
    amounts = allocate([*USED, row(2, reason="no owner")], [])
    assert usd_by_team(amounts, "direct") == {"search": 3, "ads": 2}
    assert [(p.kind, p.reason, p.rule) for p in amounts if p.tags.team == "unallocated"] == [
        ("unallocated", "no owner", "")
    ]


def test_proportional_shares_by_what_was_used() -> None:
    amounts = allocate([SHARED, *USED], [rule(model="proportional", metric="requests")])
    assert usd_by_team(amounts) == {"search": 6, "ads": 4}
    assert {p.tags.project for p in amounts if p.kind == "allocated"} == {"unallocated"}


def test_shares_can_be_made_for_several_tags() -> None:
    amounts = allocate([SHARED, *USED], [rule(model="proportional", metric="requests", by=["project", "team"])])
    shares = {(p.tags.team, p.tags.project): pico for p, pico in amounts.items() if p.kind == "allocated"}
    assert shares == {("search", "rank"): 6 * 10**12, ("ads", "bids"): 3 * 10**12, ("ads", "mail"): 10**12}


def test_the_pool_is_split_once_by_largest_remainder_with_ties_by_key() -> None:
    lines = [row("0.000000000001", category="data_storage", service=name) for name in "abcd"]
    used = [row(team=team, metrics={"requests": 1}) for team in ("c", "a", "b")]
    amounts = allocate([*lines, *used], [rule(model="proportional", metric="requests")])
    assert usd_by_team(amounts) == {"a": Decimal("2e-12"), "b": Decimal("1e-12"), "c": Decimal("1e-12")}


def test_usage_without_an_owner_keeps_its_share_unallocated() -> None:
    amounts = allocate([SHARED, *USED, row(metrics={"requests": 10})], [rule(model="proportional", metric="requests")])
    assert usd_by_team(amounts) == {"search": 3, "ads": 2}
    (nobody,) = [p for p in amounts if p.kind == "unallocated"]
    assert (amounts[nobody], nobody.reason) == (5 * 10**12, "share of usage without an owner")


def test_only_the_usage_a_rule_names_counts() -> None:
    over = {"project": ["bids", "mail"]}
    amounts = allocate([SHARED, *USED], [rule(model="proportional", metric="requests", over=over)])
    assert usd_by_team(amounts) == {"ads": 10}


@pytest.mark.parametrize(
    ("metric", "reason"),
    [("tokens", "metric tokens sums to zero in the period"), ("seats", "metric seats was not measured in the period")],
)
def test_what_cannot_be_shared_is_unallocated_with_the_reason(metric: str, reason: str) -> None:
    amounts = allocate([SHARED, *USED], [rule(model="proportional", metric=metric)])
    assert [(p.kind, p.reason, pico) for p, pico in amounts.items() if p.rule] == [("unallocated", reason, 10**13)]


def test_fixed_shares_are_exact() -> None:
    shares = {"search": Decimal("0.5"), "ads": Decimal("0.3"), "ops": Decimal("0.2")}
    assert usd_by_team(allocate([SHARED], [rule(model="fixed", shares=shares)])) == {"search": 5, "ads": 3, "ops": 2}


def test_activities_take_their_agreed_cost_and_leave_the_rest() -> None:
    agreed = rule(model="activity", activity="requests", unit_cost_usd=Decimal("0.25"))
    amounts = allocate([SHARED, *USED], [agreed])
    assert usd_by_team(amounts) == {"search": Decimal("1.5"), "ads": 1}
    assert usd_by_team(amounts, "unallocated") == {"unallocated": Decimal("7.5")}
    assert {p.reason for p in amounts if p.kind == "unallocated"} == {"beyond the agreed cost of the activities"}


@pytest.mark.parametrize("spec", [{"unit_cost_usd": 5}, {}])
def test_activities_share_the_whole_cost_where_nothing_is_agreed_or_more_than_there_is(spec: dict[str, Any]) -> None:
    amounts = allocate([SHARED, *USED], [rule(model="activity", activity="requests", **spec)])
    assert usd_by_team(amounts) == {"search": 6, "ads": 4} and usd_by_team(amounts, "unallocated") == {}


def test_even_is_equal_parts_over_the_owners_that_were_active() -> None:
    month = [row(9, category="licensing"), *USED, row(0, team="asleep", metrics={"requests": 0})]
    even = rule(match={"category": "licensing"}, model="even")
    assert usd_by_team(allocate(month, [even])) == {"search": Decimal("4.5"), "ads": Decimal("4.5")}
    (nobody,) = allocate([row(9, category="licensing")], [even])
    assert (nobody.kind, nobody.reason) == ("unallocated", "no owner was active in the period")


def test_idle_gpu_time_is_nobodys_to_share_out() -> None:
    idle = row(7, source="gpu", category="data_storage", team="search", kind="idle", reason="idle:search")
    ((placement, pico),) = allocate([idle], [rule(model="fixed", shares={"ads": 1})]).items()
    assert (placement.bucket, placement.rule, pico) == ("idle:search", "", 7 * 10**12)


def test_the_smallest_priority_is_tried_first_then_the_first_name() -> None:
    to_ads = rule("b", model="fixed", shares={"ads": 1})
    to_ops = rule("a", model="fixed", shares={"ops": 1}, priority=101)
    assert usd_by_team(allocate([SHARED], [to_ops, to_ads])) == {"ads": 10}
    to_ops = rule("a", model="fixed", shares={"ops": 1})
    assert usd_by_team(allocate([SHARED], [to_ads, to_ops])) == {"ops": 10}


def test_a_direct_rule_keeps_a_cost_from_later_rules_and_may_say_who_counts_it() -> None:
    keep = rule("a", match={"team": "platform"}, model="direct", counted_in="gpu")
    (placement,) = allocate([SHARED], [keep, rule("b", model="fixed", shares={"ads": 1})])
    assert (placement.tags.team, placement.rule, placement.counted_in) == ("platform", "a", "gpu")


def test_each_source_and_category_is_a_pool_of_its_own() -> None:
    month = [SHARED, SHARED._replace(dimensions={**SHARED.dimensions, "source": "usage"}), *USED]
    amounts = allocate(month, [rule(model="proportional", metric="requests")])
    assert {(p.origin.source, p.tags.team): pico for p, pico in amounts.items() if p.kind == "allocated"} == {
        (source, team): pico * 10**12 for source in ("billing", "usage") for team, pico in (("search", 6), ("ads", 4))
    }


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"model": "direct"}, "match"),
        ({"match": {}, "model": "direct"}, "match"),
        ({"match": "all", "model": "direct"}, "match"),
        ({"match": {"colour": "red"}, "model": "direct"}, "match.colour"),
        ({"match": {"service": []}, "model": "direct"}, "match.service"),
        ({"match": {"service": [7]}, "model": "direct"}, "match.service"),
        ({"match": {"category": "rockets"}, "model": "direct"}, "match.category"),
        ({"match": {"source": "hearsay"}, "model": "direct"}, "match.source"),
        ({"match": MATCH}, "model"),
        ({"match": MATCH, "model": "random"}, "model"),
        ({"match": MATCH, "model": ["even"]}, "model"),
        ({"match": MATCH, "model": "proportional"}, "metric"),
        ({"match": MATCH, "model": "proportional", "metric": 7}, "metric"),
        ({"match": MATCH, "model": "proportional", "metric": "cost", "by": "user"}, "by"),
        ({"match": MATCH, "model": "proportional", "metric": "cost", "by": ["team", "team"]}, "by"),
        ({"match": MATCH, "model": "proportional", "metric": "cost", "over": {"a": "b"}}, "over.a"),
        ({"match": MATCH, "model": "direct", "metric": "cost"}, "metric"),
        ({"match": MATCH, "model": "even", "shares": {"a": 1}}, "shares"),
        ({"match": MATCH, "model": "fixed"}, "shares"),
        ({"match": MATCH, "model": "fixed", "shares": {"a": Decimal("0.5")}}, "shares"),
        ({"match": MATCH, "model": "fixed", "shares": {"a": Decimal("1.5"), "b": Decimal("-0.5")}}, "shares.b"),
        ({"match": MATCH, "model": "fixed", "shares": {"a": "much"}}, "shares.a"),
        ({"match": MATCH, "model": "fixed", "shares": {"a": 0.5, "b": 0.5}}, "shares.a"),
        ({"match": MATCH, "model": "fixed", "shares": {7: 1}}, "shares.7"),
        ({"match": MATCH, "model": "fixed", "shares": {"a": 1}, "by": ["team", "project"]}, "by"),
        ({"match": MATCH, "model": "activity"}, "activity"),
        ({"match": MATCH, "model": "activity", "activity": "requests", "unit_cost_usd": 0}, "unit_cost_usd"),
        ({"match": MATCH, "model": "activity", "activity": "requests", "unit_cost_usd": "1e-13"}, "unit_cost_usd"),
        ({"match": MATCH, "model": "even", "priority": "high"}, "priority"),
        ({"match": MATCH, "model": "even", "counted_in": "hearsay"}, "counted_in"),
        ({"match": MATCH, "model": "even", "colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_named(spec: dict[str, Any], path: str) -> None:
    assert path in wrong(**spec)


def test_shares_sum_to_one_exactly_however_many_digits_they_have() -> None:
    long = "0." + "3" * 40
    nearly = {"a": Decimal(long), "b": Decimal(long), "c": Decimal("0." + "3" * 39 + "4")}
    assert wrong(match=MATCH, model="fixed", shares={**nearly, "c": Decimal("0." + "3" * 39 + "5")}) != {}
    assert wrong(match=MATCH, model="fixed", shares=nearly) == {}


def test_a_metric_that_nothing_counts_is_legal_and_warned_about() -> None:
    assert unknown_metrics(rule(model="proportional", metric="seats"))[0][0] == "metric"
    assert unknown_metrics(rule(model="proportional", metric="storage_bytes")) == []


def test_the_shipped_rules_are_good_and_use_every_model() -> None:
    sources, problems = read_file(EXAMPLES / "rules.yaml")
    assert problems == []
    rules = [parse_rule(source.org, source.name, source.spec) for source in sources]
    assert all(errors == [] for _, errors in rules)
    assert {rule.model for rule, _ in rules if rule} == {"direct", "proportional", "fixed", "activity", "even"}
