from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.budgets import BudgetEngine, Changes, scope_key
from spendstream.schemas import decode, encode
from tests.unit.domain.budgets_support import HOUR, MINUTE, USD, at, budget, engine, spend

T = at("2026-03-02 14:00")
NOW = T + 30 * MINUTE
QUARTER = 15 * MINUTE
TIGHT = [{"at": 1, "level": "page", "enforce": "block"}]


def actions(changes: Changes) -> list[str]:
    return [state["action"] for state in changes.enforcement]


def only(changes: Changes) -> dict[str, Any]:
    (state,) = changes.enforcement
    return state


def test_each_level_tightens_what_callers_may_do() -> None:
    running = engine(budget(fallback_model="small"))
    said = [actions(running.update(spend(T, usd), NOW)) for usd in (85, 6, 10, 10)]
    assert said == [[], ["downgrade"], ["block_non_critical"], ["block"]]


def test_a_jump_publishes_one_state_the_strictest() -> None:
    state = only(engine(budget(fallback_model="small")).update(spend(T, 120), NOW))
    assert state["action"] == "block"
    assert state["fallback_model"] == "small"
    assert state["scope_key"] == "team=search"
    assert state["valid_until"] == T + HOUR
    assert state["budgets"] == [
        {
            "name": "b",
            "action": "block",
            "spent_pico_usd": 120 * USD,
            "amount_pico_usd": 100 * USD,
            "window_start": T,
            "window_end": T + HOUR,
        }
    ]


def test_an_unchanged_state_is_not_published_again() -> None:
    running = engine(budget())
    running.update(spend(T, 120), NOW)
    assert actions(running.update(spend(T, 30), NOW)) == []
    assert actions(running.tick(NOW + MINUTE)) == []


def test_the_end_of_the_window_allows_again() -> None:
    running = engine(budget())
    running.update(spend(T, 120), NOW)
    state = only(running.tick(T + HOUR))
    assert (state["action"], state["budgets"], state["valid_until"], state["revision"]) == ("allow", [], None, 2)


def test_a_correction_loosens() -> None:
    running = engine(budget())
    running.update(spend(T, 120), NOW)
    assert actions(running.update(spend(T, -15), NOW)) == ["block_non_critical"]
    assert actions(running.update(spend(T, -50), NOW)) == ["allow"]


def test_late_spend_never_enforces() -> None:
    running = engine(budget())
    assert actions(running.update(spend(T, 500), T + 2 * HOUR)) == []


def test_spend_ahead_of_the_clock_enforces_once_its_window_begins() -> None:
    running = engine(budget(), now=T - MINUTE)
    changes = running.update(spend(T, 120), T - MINUTE)
    assert changes.alerts and not changes.enforcement
    assert actions(running.tick(T)) == ["block"]


def test_a_scope_carries_the_strictest_of_its_budgets_and_names_all_that_act() -> None:
    hour, day = budget("hour", fallback_model="small"), budget("day", window="day", ladder=TIGHT)
    state = only(engine(hour, day).update(spend(T, 105), NOW))
    assert state["action"] == "block"
    assert [(line["name"], line["action"]) for line in state["budgets"]] == [
        ("day", "block"),
        ("hour", "block_non_critical"),
    ]
    assert state["fallback_model"] == "small"
    assert state["valid_until"] == T + HOUR  # the earlier of the two ends


def test_exempt_is_what_every_strictest_budget_exempts() -> None:
    one = budget("one", ladder=TIGHT, exempt={"service": ["payments", "chat"]})
    two = budget("two", ladder=TIGHT, exempt={"service": ["payments"]})
    loose = budget("loose", ladder=[{"at": 1, "level": "notice", "enforce": "warn"}])
    state = only(engine(one, two, loose).update(spend(T, 105), NOW))
    assert state["exempt"] == {"service": "payments"}


def test_a_per_request_ceiling_is_said_at_once_and_counts_nothing() -> None:
    running, changes = BudgetEngine.initialise([budget(window="request", amount_usd=2)], NOW)
    state = only(changes)
    assert (state["action"], state["valid_until"]) == ("allow", None)
    assert state["budgets"][0] | {"name": ""} == {
        "name": "",
        "action": "allow",
        "spent_pico_usd": 0,
        "amount_pico_usd": 2 * USD,
        "window_start": None,
        "window_end": None,
    }
    assert running.update(spend(T, 500), NOW) == Changes()


def test_a_rolling_block_is_renewed_each_quarter_hour_and_ends_by_itself() -> None:
    running = engine(budget(window={"rolling_hours": 1}), now=T)
    first = only(running.update(spend(T, 120), T + MINUTE))
    assert first["valid_until"] == T + 2 * QUARTER
    renewed = only(running.tick(T + QUARTER))
    assert (renewed["action"], renewed["valid_until"]) == ("block", T + 3 * QUARTER)
    assert actions(running.tick(T + HOUR)) == ["allow"]


def test_a_recalled_state_is_not_said_again() -> None:
    first = engine(budget())
    state = only(first.update(spend(T, 120), NOW))
    second = BudgetEngine()
    second.recall(enforcement=[decode(encode("EnforcementState", state))[1]])
    assert actions(second.set_documents([budget()], NOW)) == []
    assert actions(second.update(spend(T, 120), NOW)) == []
    assert actions(second.caught_up(NOW)) == []
    assert only(second.tick(T + HOUR))["revision"] == 2


def test_half_a_replay_does_not_lift_a_block_and_the_whole_one_says_what_changed() -> None:
    first = engine(budget())
    state = only(first.update(spend(T, 120), NOW))
    second = BudgetEngine()
    second.recall(enforcement=[state])
    second.set_documents([budget()], NOW)
    assert actions(second.update(spend(T, 20), NOW)) == []
    assert actions(second.update(spend(T, 80), NOW)) == []
    assert actions(second.caught_up(NOW)) == ["block_non_critical"]


def test_a_recalled_state_without_a_budget_behind_it_is_lifted() -> None:
    state = only(engine(budget()).update(spend(T, 120), NOW))
    second = BudgetEngine()
    second.recall(enforcement=[state])
    second.set_documents([], NOW)
    assert actions(second.caught_up(NOW)) == ["allow"]


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ({"environment": "prod", "team": "search"}, "team=search,environment=prod"),
        ({}, "org=default"),
        ({"team": "a,b=c%"}, "team=a%2Cb%3Dc%25"),
    ],
)
def test_a_scope_has_one_canonical_key(scope: dict[str, str], key: str) -> None:
    item = budget(scope=scope)
    assert scope_key(item.org, item.scope) == key


texts = st.text(min_size=1, max_size=6)


@given(st.tuples(texts, texts), st.tuples(texts, texts))
def test_two_scopes_never_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = ((("team", team), ("service", service)) for team, service in (one, other))
    assert (scope_key("o", first) == scope_key("o", second)) == (one == other)
