from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from spendstream.domain.budgets import parse_budget
from spendstream.domain.budgets.model import as_spec
from tests.unit.domain.budgets_support import USD, budget

EXAMPLES = Path(__file__).parents[3] / "examples" / "budgets.yaml"
VALID: dict[str, Any] = {"scope": {"team": "search"}, "window": "month", "amount_usd": 500}


class ExactLoader(yaml.SafeLoader):
    """Reads YAML numbers as decimals."""


ExactLoader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: Decimal(str(node.value)))


def examples() -> list[dict[str, Any]]:
    return list(yaml.load_all(EXAMPLES.read_text(), ExactLoader))


def wrong(**changes: Any) -> dict[str, str]:
    parsed, errors = parse_budget("default", "b", VALID | changes)
    assert parsed is None
    return dict(errors)


@pytest.mark.parametrize("document", examples(), ids=lambda document: document["name"])
def test_the_shipped_examples_are_valid(document: dict[str, Any]) -> None:
    parsed, errors = parse_budget("default", document["name"], document["spec"])
    assert not errors
    assert parsed is not None and parsed.name == document["name"]


@pytest.mark.parametrize("document", examples(), ids=lambda document: document["name"])
def test_a_budget_written_as_a_spec_reads_back_equal(document: dict[str, Any]) -> None:
    parsed, _ = parse_budget("default", document["name"], document["spec"])
    assert parsed is not None
    assert parse_budget("default", document["name"], as_spec(parsed)) == (parsed, [])


@pytest.mark.parametrize("amount", [500, "500", Decimal("500.00")])
def test_amounts_are_exact_numbers(amount: Any) -> None:
    assert budget(amount_usd=amount).amount_pico_usd == 500 * USD


def test_the_default_ladder_downgrades_only_towards_a_fallback_model() -> None:
    plain = [(str(rung.at), rung.severity, rung.enforce) for rung in budget().ladder]
    assert plain == [
        ("0.70", "notice", "allow"),
        ("0.80", "warning", "allow"),
        ("0.90", "action", "allow"),
        ("1.00", "critical", "block_non_critical"),
        ("1.10", "page", "block"),
    ]
    assert budget(fallback_model="small").ladder[2].enforce == "downgrade"


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ({"amount_usd": 0.5}, "amount_usd", "not an exact number"),
        ({"amount_usd": 0}, "amount_usd", "above 0"),
        ({"amount_usd": 10**7}, "amount_usd", "at most 9223372 USD"),
        ({"amout_usd": 5}, "amout_usd", "not known"),
        ({"window": "year"}, "window", "must be request, hour"),
        ({"window": {"rolling_hours": 0}}, "window.rolling_hours", "whole number"),
        ({"timezone": "Berlin"}, "timezone", "IANA"),
        ({"timezone": "../etc"}, "timezone", "IANA"),
        ({"scope": {"teem": "search"}}, "scope.teem", "not a dimension"),
        ({"scope": {"user": "eve"}}, "scope.user", "not supported yet"),
        ({"scope": {"api_key": "k"}}, "scope.api_key", "not supported yet"),
        ({"scope": {"org": "other"}}, "scope.org", "belongs to 'default'"),
        ({"scope": {"team": 5}}, "scope.team", "text"),
        ({"scope": None}, "scope", "missing"),
        ({"ladder": []}, "ladder", "list"),
        ({"ladder": [{"at": 1.5, "level": "page"}]}, "ladder[0].at", "not an exact number"),
        ({"ladder": [{"at": "0.9", "level": "loud"}]}, "ladder[0].level", "one of notice"),
        ({"ladder": [{"at": "0.9", "level": "page", "enforce": "stop"}]}, "ladder[0].enforce", "one of allow"),
        ({"ladder": [{"at": "0.9", "level": "page", "enforce": "downgrade"}]}, "ladder[0].enforce", "fallback_model"),
        ({"ladder": [{"at": 1, "level": "page"}, {"at": 1, "level": "page"}]}, "ladder[1].at", "above"),
        ({"ladder": [{"at": 1, "level": "page"}, {"at": 2, "level": "notice"}]}, "ladder[1].level", "less urgent"),
        ({"ladder": [{"at": 1, "level": "page", "colour": "red"}]}, "ladder[0].colour", "not known"),
        ({"burn_rate": {"page": {"rate": 6, "long": "5m", "short": "1h"}}}, "burn_rate.page.short", "shorter"),
        ({"burn_rate": {"page": {"rate": 6, "long": "1h"}}}, "burn_rate.page", "must be {rate"),
        ({"burn_rate": {"mail": {}}}, "burn_rate.mail", "not known"),
        ({"forecast_alert_at": -1}, "forecast_alert_at", "above 0"),
        ({"exempt": {"service": "payments"}}, "exempt.service", "list of names"),
        ({"exempt": {"colour": ["red"]}}, "exempt.colour", "not a dimension"),
        ({"fallback_model": 5}, "fallback_model", "text"),
    ],
)
def test_a_mistake_is_named_with_its_place(changes: dict[str, Any], path: str, says: str) -> None:
    assert says in wrong(**changes)[path]


def test_all_mistakes_of_a_document_are_told_at_once() -> None:
    assert set(wrong(window="year", amount_usd="much", scope={"teem": "x"})) == {"window", "amount_usd", "scope.teem"}


@pytest.mark.parametrize("key", ["scope", "window", "amount_usd"])
def test_scope_window_and_amount_are_required(key: str) -> None:
    parsed, errors = parse_budget("default", "b", {k: v for k, v in VALID.items() if k != key})
    assert parsed is None
    assert [path for path, _ in errors] == [key]


def test_names_that_stand_for_derived_alerts_are_refused() -> None:
    assert parse_budget("default", "b/forecast", VALID)[0] is None
