from datetime import UTC, datetime
from typing import Any

import pytest

from spendstream.domain.alerts import SEVERITIES, AlertBook, escalate, fingerprint, rank


def alert(level: float | None = 0.8, severity: str = "warning", **more: Any) -> dict[str, Any]:
    return {
        "alert_id": "a",
        "kind": "budget",
        "severity": severity,
        "title": "t",
        "description": "d",
        "started_at": 100,
        "updated_at": 100,
        "window_end": 900,
        "level": level,
        "limit_pico_usd": 5,
    } | more


def test_a_fingerprint_is_stable_across_releases() -> None:
    assert fingerprint("budget", "b", {"org": "default", "team": "search"}, 5) == "6638bd2352f88be40fc78f64be3b1814"


def test_a_fingerprint_does_not_depend_on_the_order_of_scope_keys() -> None:
    assert fingerprint("budget", "b", {"x": "1", "y": "2"}, 5) == fingerprint("budget", "b", {"y": "2", "x": "1"}, 5)


@pytest.mark.parametrize(
    "other",
    [
        ("anomaly", "b", {"team": "search"}, 5),
        ("budget", "c", {"team": "search"}, 5),
        ("budget", "b", {"team": "ads"}, 5),
        ("budget", "b", {"team": "search"}, 6),
        ("budget", "b", {"team": "search"}, None),
    ],
)
def test_a_fingerprint_tells_kind_name_scope_and_start_apart(other: Any) -> None:
    assert fingerprint(*other) != fingerprint("budget", "b", {"team": "search"}, 5)


def test_severities_escalate_and_never_step_back() -> None:
    assert sorted(set(SEVERITIES), key=rank) == ["notice", "warning", "action", "critical", "page"]
    assert escalate(None, "notice") == "notice"
    assert escalate("critical", "warning") == "critical"
    assert escalate("critical", "page") == "page"


def test_a_level_is_published_once_even_after_the_alert_has_resolved() -> None:
    book = AlertBook()
    assert book.fire(alert(), 1) is not None
    assert book.fire(alert(), 2) is None
    assert book.resolve("a", 200, 3) is not None
    assert book.fire(alert(), 4) is None


def test_revisions_count_the_published_states_and_the_first_sign_stays() -> None:
    book = AlertBook()
    first = book.fire(alert(0.7, "notice"), 1)
    second = book.fire(alert(0.8, "warning", started_at=150, updated_at=150), 2)
    third = book.resolve("a", 200, 3, description="over")
    assert first and second and third
    assert [r["revision"] for r in (first, second, third)] == [1, 2, 3]
    assert [r["severity"] for r in (first, second, third)] == ["notice", "warning", "warning"]
    assert second["started_at"] == 100
    assert (third["state"], third["resolved_at"], third["description"], third["emitted_at"]) == (
        "resolved",
        200,
        "over",
        3,
    )


def test_an_alert_without_levels_speaks_up_only_when_it_becomes_more_urgent() -> None:
    book = AlertBook()
    assert book.fire(alert(None, "warning"), 1) is not None
    assert book.fire(alert(None, "warning"), 2) is None
    assert book.fire(alert(None, "notice"), 3) is None
    raised = book.fire(alert(None, "page"), 4)
    assert raised is not None and raised["severity"] == "page"


def test_only_an_open_alert_resolves_and_only_once() -> None:
    book = AlertBook()
    assert book.resolve("a", 1, 1) is None
    book.fire(alert(), 1)
    assert book.resolve("a", 1, 1) is not None
    assert book.resolve("a", 2, 2) is None


def test_a_recalled_level_is_not_published_again_and_revisions_go_on() -> None:
    before, after = AlertBook(), AlertBook()
    published = [before.fire(alert(0.7, "notice"), 1), before.fire(alert(0.8), 2)]
    for record in published:
        assert record is not None
        after.recall(record | {"updated_at": datetime(2026, 3, 2, tzinfo=UTC)})
    assert after.fire(alert(0.7, "notice"), 3) is None
    assert after.fire(alert(0.8), 3) is None
    following = after.fire(alert(0.9, "action"), 3)
    assert following is not None and following["revision"] == 3


def test_an_acknowledgement_is_kept_until_the_alert_becomes_worse() -> None:
    book = AlertBook()
    record = book.fire(alert(), 1)
    assert record is not None
    book.recall(record | {"state": "acknowledged", "revision": 2})
    assert book.entries["a"].state == "acknowledged"
    worse = book.fire(alert(1.0, "critical"), 3)
    assert worse is not None and (worse["state"], worse["revision"]) == ("firing", 3)


def test_an_older_state_does_not_overwrite_a_newer_one() -> None:
    book = AlertBook()
    record = book.fire(alert(), 1)
    book.resolve("a", 200, 2)
    assert record is not None
    book.recall(record)
    assert not book.is_open("a")


def test_the_level_of_an_older_state_counts_as_published_all_the_same() -> None:
    writer, reader = AlertBook(), AlertBook()
    first, second = writer.fire(alert(0.7, "notice"), 1), writer.fire(alert(0.8), 2)
    assert first and second
    reader.recall(second)
    reader.recall(first)
    assert reader.fire(alert(0.7, "notice"), 3) is None


def test_a_restored_book_answers_as_the_original() -> None:
    book = AlertBook()
    book.fire(alert(), 1)
    book.fire(alert(alert_id="gone"), 1)
    book.resolve("gone", 5, 5)
    twin = AlertBook.restore(book.snapshot())
    assert twin == book
    assert [key for key, _ in twin.open_alerts()] == ["a"]


def test_resolved_alerts_are_forgotten_after_their_time_and_open_ones_never() -> None:
    book = AlertBook()
    book.fire(alert(), 1)
    book.fire(alert(alert_id="gone"), 1)
    book.resolve("gone", 5, 5)
    book.prune(901)
    assert set(book.entries) == {"a"}
