"""Who owns an event: its own tags first, then the registry, else `unallocated`; every event keeps its place."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain.attribution.owners import MATCH_KEYS, TAGS, UNALLOCATED, Owner, OwnerRegistry, parse_owner
from spendstream.domain.effective import Effective

FIELDS = ("org", *MATCH_KEYS)


def events(*rows: dict[str, Any]) -> pl.DataFrame:
    defaults: dict[str, Any] = {**dict.fromkeys(MATCH_KEYS), "org": "default", "occurred_at": 0}
    schema = {**dict.fromkeys(FIELDS, pl.String), "occurred_at": pl.Int64}
    return pl.DataFrame([{**defaults, **row} for row in rows], schema=schema)


def owned(owners: list[Owner], row: dict[str, Any]) -> dict[str, str]:
    filled = OwnerRegistry(owners).fill(events(row))
    return filled.select(*TAGS, "owner_source").row(0, named=True)


def owner(name: str, match: dict[str, str], org: str = "default", **tags: str) -> Owner:
    return Owner(org, name, match, tags)


RANKER = owner("ranker", {"service": "ranker"}, team="search", cost_center="cc-1")


def test_an_event_without_tags_or_owner_is_unallocated() -> None:
    assert owned([], {}) == {**dict.fromkeys(TAGS, UNALLOCATED), "owner_source": UNALLOCATED}


def test_its_own_tags_win_and_the_registry_fills_the_rest() -> None:
    found = owned([RANKER], {"service": "ranker", "team": "ads"})
    assert (found["team"], found["cost_center"], found["owner_source"]) == ("ads", "cc-1", "event")


def test_the_registry_answers_where_the_event_says_nothing() -> None:
    found = owned([RANKER], {"service": "ranker"})
    assert (found["team"], found["project"], found["owner_source"]) == ("search", UNALLOCATED, "registry")


def test_an_empty_tag_is_no_tag() -> None:
    assert owned([RANKER], {"service": "ranker", "team": ""})["team"] == "search"


def test_a_complete_event_needs_no_registry() -> None:
    tags = dict.fromkeys(TAGS, "mine")
    assert owned([owner("all", {"team": "mine"}, team="other")], {**tags}) == {**tags, "owner_source": "event"}


def test_owners_never_reach_into_another_organisation() -> None:
    assert owned([RANKER], {"service": "ranker", "org": "acme"})["team"] == UNALLOCATED
    assert (
        owned([owner("x", {"service": "ranker"}, org="acme", team="t")], {"service": "ranker"})["team"] == UNALLOCATED
    )


def test_every_key_of_a_match_must_agree() -> None:
    both = owner("both", {"service": "ranker", "api_key_id": "k1"}, team="t")
    assert owned([both], {"service": "ranker", "api_key_id": "k2"})["team"] == UNALLOCATED
    assert owned([both], {"service": "ranker", "api_key_id": None})["team"] == UNALLOCATED
    assert owned([both], {"service": "ranker", "api_key_id": "k1"})["team"] == "t"


def test_the_first_match_by_name_wins_whatever_the_order_of_arrival() -> None:
    a, b = owner("a", {"service": "s"}, team="first"), owner("b", {"service": "s"}, team="second")
    assert owned([b, a], {"service": "s"}) == owned([a, b], {"service": "s"})
    assert owned([b, a], {"service": "s"})["team"] == "first"


def test_an_owner_may_match_on_a_tag_the_event_brings() -> None:
    assert owned([owner("p", {"project": "rank"}, team="search")], {"project": "rank"})["team"] == "search"


def test_an_owner_with_dates_has_what_occurred_while_it_is_in_force() -> None:
    before = Owner("default", "a-ranker-2025", {"service": "ranker"}, {"team": "search"}, "", Effective(None, 10))
    after = Owner("default", "a-ranker-2026", {"service": "ranker"}, {"team": "ads"}, "", Effective(10, 20))
    rest = Owner("default", "z-everything", {"service": "ranker"}, {"team": "platform"})
    registry = OwnerRegistry([before, after, rest])
    batch = events(*({"service": "ranker", "occurred_at": at} for at in (9, 10, 19, 20, 0)))
    assert registry.fill(batch)["team"].to_list() == ["search", "ads", "ads", "platform", "search"]
    assert "stretch" not in registry.fill(batch).columns


def test_dates_of_an_owner_are_moments() -> None:
    spec = {"match": {"service": "s"}, "team": "t", "effective_from": "1970-01-01T00:00:00.000010Z"}
    parsed, errors = parse_owner("default", "x", {**spec, "effective_to": "1970-01-02"})
    assert errors == [] and parsed is not None and parsed.effective == Effective(10, 86_400_000_000)


words = st.sampled_from([None, "", "a", "b"])
rows = st.lists(st.fixed_dictionaries({
    **dict.fromkeys(("service", "user_id", "team", "project"), words), "occurred_at": st.integers(0, 5),
}), max_size=25)  # fmt: skip
matches = st.dictionaries(st.sampled_from(["service", "user_id", "project"]), st.sampled_from(["a", "b"]), min_size=1)
tags = st.dictionaries(st.sampled_from(TAGS), st.sampled_from(["x", "y"]), min_size=1)
edge = st.none() | st.integers(0, 5)
registries = st.lists(st.tuples(matches, tags, st.builds(Effective, edge, edge)), max_size=5)


@settings(deadline=None, max_examples=60)
@given(rows, registries)
def test_a_whole_batch_is_owned_as_its_events_one_by_one(
    batch: list[dict[str, Any]], entries: list[tuple[dict[str, str], dict[str, str], Effective]]
) -> None:
    owners = [Owner("default", f"o{i}", match, found, "", when) for i, (match, found, when) in enumerate(entries)]
    registry = OwnerRegistry(owners)
    together = registry.fill(events(*batch))
    assert together.height == len(batch)
    for i, row in enumerate(batch):
        assert together.row(i, named=True) == registry.fill(events(row)).row(0, named=True)
        clean = {key: value or None if key in TAGS else value for key, value in row.items()}
        in_force = [o for o in owners if o.effective.covers(row["occurred_at"])]
        winner = next((o for o in in_force if all(clean.get(k) == v for k, v in o.match.items())), None)
        wanted = clean.get("team") or (winner.tags.get("team") if winner else None) or UNALLOCATED
        assert together["team"][i] == wanted


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({}, "match"),
        ({"match": {}, "team": "t"}, "match"),
        ({"match": {"color": "red"}, "team": "t"}, "match.color"),
        ({"match": {"service": 7}, "team": "t"}, "match.service"),
        ({"match": {"service": "s"}}, "team"),
        ({"match": {"service": "s"}, "team": None}, "team"),
        ({"match": {"service": "s"}, "team": "t", "colour": "red"}, "colour"),
        ({"match": {"service": "s"}, "team": "t", "effective_from": "today"}, "effective_from"),
        (
            {"match": {"service": "s"}, "team": "t", "effective_from": "2026-02-01", "effective_to": "2026-01-01"},
            "effective_to",
        ),
    ],
)
def test_what_is_wrong_is_named(spec: dict[str, object], path: str) -> None:
    parsed, errors = parse_owner("default", "x", spec)
    assert parsed is None and path in [where for where, _ in errors]


def test_a_good_document_is_an_owner() -> None:
    parsed, errors = parse_owner("acme", "ranker", {"match": {"service": "ranker"}, "team": "search"})
    assert errors == []
    assert parsed == Owner("acme", "ranker", {"service": "ranker"}, {"team": "search"})
