"""Tag policies: looked up, taken as they are, or refused. A value the registry does not list is reported, or, where the
list is declared complete, not taken: the reason keeps it."""

from typing import Any

import polars as pl
import pytest

from spendstream.domain.attribution.owners import MATCH_KEYS, TAGS, UNALLOCATED, Owner, OwnerRegistry
from spendstream.domain.attribution.tags import TagPolicy, parse_tag_policy

ALL = {"team": "search", "project": "rank", "environment": "prod", "cost_center": "cc-1"}
RANKER = Owner("default", "ranker", {"service": "ranker"}, ALL)


def events(*rows: dict[str, str | None]) -> pl.DataFrame:
    defaults: dict[str, str | None] = {**dict.fromkeys(MATCH_KEYS), "org": "default"}
    return pl.DataFrame([{**defaults, **row} for row in rows], schema=dict.fromkeys(("org", *MATCH_KEYS), pl.String))


def policy(name: str = "p", match: dict[str, str] | None = None, org: str = "default", **fields: Any) -> TagPolicy:
    return TagPolicy(org, name, match or {}, **fields)


def filled(registry: OwnerRegistry, row: dict[str, str | None]) -> dict[str, Any]:
    return registry.fill(events(row)).row(0, named=True)


def test_without_a_policy_missing_tags_are_looked_up_and_the_rest_has_a_reason() -> None:
    found = filled(
        OwnerRegistry([Owner("default", "r", {"service": "ranker"}, {"team": "search"})]), {"service": "ranker"}
    )
    assert found["team"] == "search"
    assert found["owner_reason"] == "project missing; environment missing; cost_center missing"


def test_accept_takes_the_event_as_it_is() -> None:
    found = filled(OwnerRegistry([RANKER], [policy(action="accept")]), {"service": "ranker", "team": "ads"})
    assert (found["team"], found["project"], found["owner_source"]) == ("ads", UNALLOCATED, "event")


def test_quarantine_refuses_only_what_still_lacks_a_required_tag() -> None:
    registry = OwnerRegistry([RANKER], [policy(action="quarantine", required=("team", "cost_center"))])
    batch = events({"service": "ranker"}, {"team": "ads"}, {"team": "ads", "cost_center": "cc-2"}, {})
    refused = registry.quarantined(batch)
    assert refused is not None and refused.tolist() == [False, True, False, True]


def test_nothing_is_refused_without_a_quarantine() -> None:
    assert OwnerRegistry([RANKER], [policy(action="accept")]).quarantined(events({})) is None


def test_a_strict_registry_keeps_the_unknown_value_as_the_reason() -> None:
    registry = OwnerRegistry([RANKER], [policy(strict=TAGS)])
    found = filled(registry, {**ALL, "team": "serach", "service": "else"})
    assert (found["team"], found["owner_source"]) == (UNALLOCATED, UNALLOCATED)
    assert found["owner_reason"] == "team unknown: serach"
    assert filled(registry, {**ALL})["owner_reason"] == ""


def test_an_unknown_value_is_replaced_by_what_the_registry_says_of_the_service() -> None:
    registry = OwnerRegistry([RANKER], [policy(strict=TAGS)])
    found = filled(registry, {**ALL, "team": "serach", "service": "ranker"})
    assert (found["team"], found["owner_source"], found["owner_reason"]) == ("search", "registry", "")


def test_a_value_declared_in_another_organisation_is_unknown() -> None:
    sales = Owner("acme", "sales", {"service": "crm"}, {"team": "sales"})
    registry = OwnerRegistry([RANKER, sales], [policy(strict=TAGS, org="acme")])
    assert filled(registry, {**ALL, "org": "acme"})["owner_reason"] == "team unknown: search"
    assert filled(registry, {**ALL, "team": "any"})["team"] == "any"


def test_a_value_that_is_not_listed_is_taken_and_reported_where_nobody_declared_the_list_complete() -> None:
    registry = OwnerRegistry([RANKER])
    found = filled(registry, {**ALL, "team": "serach", "project": "new"})
    assert (found["team"], found["project"], found["owner_source"]) == ("serach", "new", "event")
    assert found["owner_reason"] == "team unlisted; project unlisted"
    assert filled(registry, {**ALL})["owner_reason"] == ""
    assert filled(registry, {**ALL, "team": "ads", "project": None})["owner_reason"] == "team unlisted; project missing"


def test_a_tag_that_nobody_lists_is_not_checked_even_by_a_strict_policy() -> None:
    teams = Owner("default", "ranker", {"service": "ranker"}, {"team": "search"})
    registry = OwnerRegistry([teams], [policy(strict=TAGS)])
    found = filled(registry, {**ALL, "team": "serach"})
    assert (found["team"], found["environment"], found["cost_center"]) == (UNALLOCATED, "prod", "cc-1")
    assert found["owner_reason"] == "team unknown: serach"


def test_a_policy_says_of_which_tags_the_list_is_complete() -> None:
    registry = OwnerRegistry([RANKER], [policy(strict=("team",))])
    found = filled(registry, {**ALL, "team": "serach", "project": "new"})
    assert (found["team"], found["project"]) == (UNALLOCATED, "new")
    assert found["owner_reason"] == "team unknown: serach; project unlisted"


def test_a_value_that_an_owner_matches_on_is_listed() -> None:
    by_team = Owner("default", "ads", {"team": "ads"}, {"cost_center": "cc-3"})
    found = filled(OwnerRegistry([by_team], [policy(strict=TAGS)]), {"team": "ads"})
    assert (found["team"], found["cost_center"]) == ("ads", "cc-3")


def test_another_organisation_s_list_says_nothing() -> None:
    assert filled(OwnerRegistry([RANKER]), {**ALL, "team": "sales", "org": "acme"})["owner_reason"] == ""


def test_the_policy_that_names_most_of_an_event_stands() -> None:
    registry = OwnerRegistry(
        [], [policy("a", action="quarantine"), policy("b", {"service": "notebook"}, action="accept")]
    )
    refused = registry.quarantined(events({"service": "notebook"}, {"service": "chat"}))
    assert refused is not None and refused.tolist() == [False, True]


def test_events_keep_their_places_and_columns() -> None:
    registry = OwnerRegistry([RANKER], [policy(strict=TAGS), policy("q", {"service": "x"}, action="quarantine")])
    batch = events(
        *({"service": service, "team": team} for service in ("ranker", "x", None) for team in ("search", None, "y"))
    )
    together = registry.fill(batch)
    assert together["service"].to_list() == batch["service"].to_list()
    assert set(together.columns) == {*batch.columns, "owner_source", "owner_reason"}
    for i, row in enumerate(batch.iter_rows(named=True)):
        assert together.row(i, named=True) == filled(registry, row)


def test_strict_checks_all_tags_or_those_it_names() -> None:
    for spec, checked in (({}, TAGS), ({"checked": ["team"]}, ("team",))):
        found, errors = parse_tag_policy("default", "x", {"kind": "tags", "registry": "strict", **spec})
        assert errors == [] and found is not None and found.strict == checked


@pytest.mark.parametrize(
    ("spec", "path"),
    [({"action": "drop"}, "action"), ({"registry": "maybe"}, "registry"), ({"required": ["colour"]}, "required"),
     ({"required": []}, "required"), ({"match": {"team": "x"}}, "match.team"), ({"match": []}, "match"),
     ({"rules": 1}, "rules"), ({"registry": "strict", "checked": ["colour"]}, "checked"),
     ({"registry": "strict", "checked": "team"}, "checked"), ({"checked": ["team"]}, "checked")],
)  # fmt: skip
def test_what_is_wrong_is_named(spec: dict[str, object], path: str) -> None:
    assert parse_tag_policy("default", "x", {"kind": "tags"}) == (TagPolicy("default", "x", {}, "default", TAGS), [])
    found, errors = parse_tag_policy("default", "x", {"kind": "tags", **spec})
    assert found is None and [where for where, _ in errors] == [path]
