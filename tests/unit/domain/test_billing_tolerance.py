"""When somebody must look at an invoice."""

from decimal import Decimal
from typing import Any

import pytest

from spendstream.attribution.bills.reconciliation import judge
from spendstream.control.checks import check_spec
from spendstream.domain.alerts import AlertBook
from spendstream.domain.billing.reconciliation import Variance
from spendstream.domain.billing.tolerance import Month, Tolerance, beyond, parse_tolerance, tolerance_for
from spendstream.schemas import decode, encode

USD = 10**12
START = 1_793_491_200_000_000  # 2026-11-01
NOW = START + 40 * 86_400_000_000


def month(estimate: int, invoice: int, **amounts: int) -> Month:
    found = Month("default", "openai", START)
    found.add(estimate * USD, invoice * USD, Variance(**{name: value * USD for name, value in amounts.items()}))
    return found


def test_two_percent_are_allowed_where_nobody_says_otherwise() -> None:
    assert not beyond(month(98, 100, price=2), Tolerance())
    assert beyond(month(97, 100, price=3), Tolerance())
    assert beyond(month(103, 100, price=-3), Tolerance())


def test_rounding_late_and_what_is_ignored_do_not_count() -> None:
    discounted = month(100, 80, commitment_or_discount=-20)
    assert not beyond(month(50, 100, rounding=20, late=30), Tolerance())
    assert beyond(discounted, Tolerance())
    assert not beyond(discounted, Tolerance(ignore=frozenset(["commitment_or_discount"])))


def test_a_small_amount_is_never_worth_an_alert() -> None:
    assert not beyond(month(1, 2, price=1), Tolerance(minimum_pico=2 * USD))
    assert beyond(month(1, 0, duplicate=-1), Tolerance())


def test_an_alert_fires_once_rises_and_resolves() -> None:
    book = AlertBook()
    [fired] = judge(book, [month(90, 100, price=8, missing_usage=2)], {}, NOW)
    assert (fired["state"], fired["severity"], fired["revision"]) == ("firing", "warning", 1)
    assert "$10.00 (10.0%) more for 2026-11" in fired["title"]
    assert fired["root_cause"] == "price $8.00, missing_usage $2.00"
    assert judge(book, [month(90, 100, price=10)], {}, NOW + 1) == []
    [risen] = judge(book, [month(50, 100, price=50)], {}, NOW + 2)
    assert (risen["severity"], risen["alert_id"]) == ("action", fired["alert_id"])
    [resolved] = judge(book, [month(100, 100)], {}, NOW + 3)
    assert (resolved["state"], resolved["alert_id"]) == ("resolved", fired["alert_id"])
    assert judge(book, [month(100, 100)], {}, NOW + 4) == []
    for record in (fired, risen, resolved):
        assert decode(encode("Alert", record))[1]["alert_id"] == fired["alert_id"]


def test_what_was_published_is_not_published_again_after_a_restart() -> None:
    first, second = AlertBook(), AlertBook()
    [fired] = judge(first, [month(90, 100, price=10)], {}, NOW)
    second.recall(decode(encode("Alert", fired))[1])
    assert judge(second, [month(90, 100, price=10)], {}, NOW + 1) == []
    [resolved] = judge(second, [month(100, 100)], {}, NOW + 2)
    assert resolved["revision"] == 2


def test_the_policy_that_names_the_provider_goes_first_and_organisations_keep_apart() -> None:
    broad, narrow = Tolerance(Decimal("0.5"), name="a"), Tolerance(Decimal("0.2"), provider="openai", name="b")
    assert tolerance_for("openai", [broad, narrow]) is narrow
    assert tolerance_for("anthropic", [broad, narrow]) is broad
    assert tolerance_for("openai", []) == Tolerance()
    assert judge(AlertBook(), [month(90, 100, price=10)], {"default": [broad]}, NOW) == []
    assert len(judge(AlertBook(), [month(90, 100, price=10)], {"acme": [broad]}, NOW)) == 1


def test_a_policy_is_read_exactly() -> None:
    spec = {"kind": "reconciliation", "tolerance": Decimal("0.05"), "minimum_usd": 3, "ignore": ["price"]}
    assert parse_tolerance("p", spec) == (Tolerance(Decimal("0.05"), 3 * USD, None, frozenset(["price"]), "p"), [])
    assert check_spec("default", "Policy", "p", spec) == []


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"tolerance": 2}, "tolerance"),
        ({"tolerance": "wide"}, "tolerance"),
        ({"minimum_usd": -1}, "minimum_usd"),
        ({"provider": 7}, "provider"),
        ({"ignore": ["weather"]}, "ignore"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_is_wrong_with_a_policy_is_named(wrong: dict[str, Any], path: str) -> None:
    assert [where for where, _ in check_spec("default", "Policy", "p", {"kind": "reconciliation", **wrong})] == [path]
