"""What applying would change: nothing the second time, a revision for a changed price, nobody else's document."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from spendstream.control.files import Source
from spendstream.control.publish import Change, keys_of, plan_changes, suspicious
from spendstream.rating import BookShelf
from spendstream.runtime.control import ControlLog, digest_of, spec_json
from spendstream.schemas import encode

PRICE: dict[str, Any] = {
    "provider": "test", "model": "small", "effective_from": "2020-01-01T00:00:00Z",
    "usd_per_million_tokens": {"input": Decimal("1"), "output": Decimal("3")},
}  # fmt: skip
BUDGET: dict[str, Any] = {"scope": {"team": "search"}, "window": "hour", "amount_usd": 10}


def document(kind: str, name: str, spec: dict[str, Any], org: str = "default") -> Source:
    return Source("f.yaml", 1, org, kind, name, spec, {})


def price(name: str = "test/small", org: str = "default", **fields: Any) -> Source:
    return document("Price", name, {**PRICE, **fields}, org)


def put(log: ControlLog, changes: Sequence[Change]) -> None:
    """Append what `publish` would send."""
    for change in changes:
        if change.action == "same":
            continue
        source = change.source
        record = {
            "org": source.org, "kind": source.kind, "name": source.name, "spec_json": spec_json(source.spec),
            "known_at": 1_000_000 + log.offset, "revision": change.revision, "author": "test",
            "digest": digest_of(source.kind, source.name, source.spec),
        }  # fmt: skip
        log.add(log.offset, change.key.encode(), encode("ControlDocument", record))


def applied(*rounds: Sequence[Source]) -> tuple[ControlLog, list[list[tuple[str, int]]]]:
    log, said = ControlLog(), []
    for sources in rounds:
        changes = plan_changes(sources, log)
        said.append([(change.action, change.revision) for change in changes])
        put(log, changes)
    return log, said


def test_applying_twice_changes_nothing() -> None:
    both = [price(), document("Budget", "b", BUDGET)]
    log, said = applied(both, both, both)
    assert said == [[("new", 1)] * 2, [("same", 1)] * 2, [("same", 1)] * 2]
    assert log.offset == 2


def test_a_changed_price_is_a_new_revision_and_the_old_one_stays() -> None:
    dearer = {"usd_per_million_tokens": {"input": Decimal("1.5"), "output": Decimal("3")}}
    log, said = applied([price()], [price(**dearer)], [price(**dearer)])
    assert said == [[("new", 1)], [("changed", 2)], [("same", 2)]]
    assert sorted(found.revision for found in log.documents("Price")) == [1, 2]


def test_going_back_to_an_earlier_price_is_a_change_again() -> None:
    dearer = {"usd_per_million_tokens": {"input": Decimal("1.5"), "output": Decimal("3")}}
    _, said = applied([price()], [price(**dearer)], [price()])
    assert said[-1] == [("changed", 3)]


def test_another_start_of_the_same_price_is_a_document_of_its_own() -> None:
    log, said = applied([price()], [price(effective_from="2026-01-01T00:00:00Z")])
    assert said[-1] == [("new", 1)] and len(list(log.documents("Price"))) == 2


def test_a_changed_budget_replaces_the_old_one() -> None:
    log, said = applied([document("Budget", "b", BUDGET)], [document("Budget", "b", {**BUDGET, "amount_usd": 20})])
    assert said[-1] == [("changed", 2)]
    assert [found.spec["amount_usd"] for found in log.documents("Budget")] == [20]


def test_organisations_never_replace_each_others_documents() -> None:
    log, said = applied([document("Budget", "b", BUDGET)], [document("Budget", "b", BUDGET, "acme")])
    assert said[-1] == [("new", 1)]
    assert sorted(found.org for found in log.documents("Budget")) == ["acme", "default"]


def test_a_name_with_a_slash_is_not_mistaken_for_an_organisation() -> None:
    log, _ = applied([document("Budget", "acme/b", BUDGET)], [document("Budget", "b", BUDGET, "acme")])
    assert sorted((found.org, found.name) for found in log.documents("Budget")) == [
        ("acme", "b"),
        ("default", "acme/b"),
    ]


def test_a_tombstone_ends_a_document_and_the_past_still_knows_it() -> None:
    log, _ = applied([document("Budget", "b", BUDGET)])
    key = next(iter(log.documents("Budget"))).key
    log.add(log.offset, key.encode(), None)
    assert list(log.documents("Budget")) == []
    assert len(list(log.documents("Budget", at=1))) == 1


def test_a_document_applied_again_after_its_deletion_is_new() -> None:
    log, _ = applied([document("Budget", "b", BUDGET)])
    log.add(log.offset, next(iter(log.documents("Budget"))).key.encode(), None)
    assert [change.action for change in plan_changes([document("Budget", "b", BUDGET)], log)] == ["new"]


def test_a_price_change_beyond_the_bound_is_doubted_with_its_place() -> None:
    log, _ = applied([price()])
    dear = price(usd_per_million_tokens={"input": Decimal("1000"), "output": Decimal("3")})
    (doubt, *_) = suspicious(plan_changes([dear], log))
    assert str(doubt).startswith("f.yaml:1:")


def test_a_new_price_is_compared_with_the_one_it_takes_over_from_whatever_it_is_called() -> None:
    log, _ = applied([price()])
    dear = {"usd_per_million_tokens": {"input": Decimal("1000"), "output": Decimal("3")}}
    later = price(effective_from="2026-01-01T00:00:00Z", **dear)
    other_name = document("Price", "other", {**price().spec, **dear})
    for source in (later, other_name):
        (doubt,) = suspicious(plan_changes([source], log))
        assert f"compared with Price/{price().name}" in str(doubt)
    elsewhere = document("Price", "other", {**price().spec, **dear, "region": "eu"})
    another = document("Price", "other", {**price().spec, **dear, "model": "another"})
    before = document("Price", "other", {**price().spec, **dear, "effective_from": "1999-01-01T00:00:00Z"})
    assert suspicious(plan_changes([elsewhere, another, before], log)) == []
    assert suspicious(plan_changes([document("Price", "other", {**price().spec, **dear}, "acme")], log)) == []


def test_an_unreadable_record_is_passed_over() -> None:
    log = ControlLog()
    log.add(0, b"Budget/x", b"not avro")
    log.add(
        1, None, encode("Usage", {"event_id": "e", "occurred_at": 0, "service": "s", "provider": "p", "model": "m"})
    )
    put(log, plan_changes([document("Budget", "b", BUDGET)], log))
    assert [found.name for found in log.documents()] == ["b"]


def test_the_books_of_the_past_stay_as_they_were() -> None:
    log, _ = applied([price()])
    shelf = BookShelf(log)
    before = shelf.now()
    put(log, plan_changes([price(usd_per_million_tokens={"input": Decimal("2"), "output": Decimal("3")})], log))
    assert shelf.at(before.control_offset).prices is before.prices
    assert shelf.now().prices is not before.prices


def test_a_budget_does_not_compile_the_books_anew() -> None:
    log, _ = applied([price()])
    shelf = BookShelf(log)
    before = shelf.now()
    put(log, plan_changes([document("Budget", "b", BUDGET)], log))
    assert shelf.now().prices is before.prices


def raw(spec: str, **fields: Any) -> bytes:
    """A record that `apply` would never send."""
    whole = {
        "org": "default", "kind": "Budget", "name": "b", "spec_json": spec, "known_at": 1, "revision": 1,
        "author": "", "digest": "", **fields,
    }  # fmt: skip
    return encode("ControlDocument", whole)


@pytest.mark.parametrize(
    "spec",
    ['{"x": {"$decimal": "x"}}', '{"x": {"$decimal": null}}', '{"x": {"$decimal": {}}}', '{"x": {"$decimal": "NaN"}}',
     '{"x": {"$decimal": "Infinity"}}', "[]", "{", '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}"],
)  # fmt: skip
def test_a_spec_that_cannot_be_read_stops_nobody_and_can_be_deleted(spec: str) -> None:
    log = ControlLog()
    log.add(0, b"Budget/b", raw(spec))
    log.add(1, b"Price/a/b/1577836800000000/1\x1facme", raw(spec, kind="Price", name="a/b", org="acme"))
    assert list(log.documents()) == [] and log.offset == 2
    assert keys_of("Budget/b", "default", log) == ["Budget/b"] and keys_of("Budget/b", "acme", log) == []
    assert keys_of("Price/a/b", "acme", log) == ["Price/a/b/1577836800000000/1\x1facme"]
    log.add(2, b"Budget/b", None)
    assert keys_of("Budget/b", "default", log) == []


def test_what_was_in_force_before_an_unreadable_revision_stays_in_force_and_has_one_key() -> None:
    log, _ = applied([document("Budget", "b", BUDGET)])
    log.add(log.offset, b"Budget/b", raw('{"x": {"$decimal": "x"}}'))
    assert [found.name for found in log.documents()] == ["b"]
    assert keys_of("Budget/b", "default", log) == ["Budget/b"]
