"""The doctor's judgement."""

from hypothesis import given
from hypothesis import strategies as st

from spendstream.operations import checks
from spendstream.operations.checks import FAIL, OK, WARN, Backlog
from spendstream.runtime.heartbeats import Beat

DECLARED = {"usage": 4, "attribution-plans": 4, "costs": 4}


def beat(state: str = "running", age_ms: int = 500, control_offset: int = 7) -> Beat:
    return Beat("attribution", "host-1", state, control_offset, age_ms, interval_ms=1_000)


def test_topics_are_missing_differ_or_are_as_declared() -> None:
    assert checks.topics(DECLARED, DECLARED).state == OK
    missing = checks.topics(DECLARED, {"usage": 4, "attribution-plans": 4})
    assert (missing.state, missing.found) == (FAIL, "missing: costs")
    assert checks.topics(DECLARED, {**DECLARED, "usage": 8, "attribution-plans": 8}).state == WARN
    assert checks.topics(DECLARED, {**DECLARED, "usage": 8}).state == FAIL


def test_migrations_are_missing_edited_unknown_or_applied() -> None:
    shipped = {1: ("0001_a.sql", "x"), 2: ("0002_b.sql", "y")}
    assert checks.migrations(shipped, {1: "x", 2: "y"}).state == OK
    assert checks.migrations(shipped, {1: "x"}).found == "not applied: 0002_b.sql"
    assert checks.migrations(shipped, {1: "x", 2: "z"}).state == FAIL
    assert checks.migrations(shipped, {1: "x", 2: "y", 3: "z"}).state == WARN


def test_a_service_runs_lags_died_was_stopped_or_was_never_there() -> None:
    assert checks.service("attribution", [beat()], 7).state == OK
    assert checks.service("attribution", [beat(), beat(age_ms=60_000)], 7).state == OK
    assert checks.service("attribution", [beat(control_offset=6)], 7).state == WARN
    died = checks.service("budgets", [beat(age_ms=60_000)], 7)
    assert (died.state, died.found) == (FAIL, "host-1 was last heard 60 s ago")
    assert checks.service("budgets", [beat("stopping", 60_000)], 7).state == WARN
    assert checks.service("budgets", [], 7).state == WARN
    assert checks.service("attribution", [], 7).state == FAIL


def test_a_backlog_is_judged_by_how_long_its_oldest_record_waits() -> None:
    def state(records: int, age_s: float) -> str:
        return checks.backlog("ledger", [Backlog("ledger", "usage", 0, records, age_s)], "wait").state

    assert state(1_000_000, 1.0) == OK
    assert state(1, checks.BEHIND_WARN_S) == WARN
    assert state(1, checks.BEHIND_FAIL_S) == FAIL
    assert state(0, 0.0) == OK
    assert checks.backlog("ledger", [], "wait").found == "nothing waits"


@given(st.integers(0, 1_000), st.integers(0, 1_000))
def test_more_rejections_are_never_judged_better(some: int, more: int) -> None:
    badness = [OK, WARN, FAIL]
    few, many = sorted((some, some + more))
    states = [checks.rejected(count, 2_000, 0.5).state for count in (few, many)]
    assert badness.index(states[0]) <= badness.index(states[1])


def test_rejections_fail_at_the_share_that_raises_an_alert() -> None:
    assert checks.rejected(0, 0, 0.5).state == OK
    assert [checks.rejected(n, 1_000, 0.5).state for n in (9, 10, 499, 500)] == [OK, WARN, WARN, FAIL]


def test_unpriced_usage_is_a_warning_with_its_models_and_mostly_unpriced_a_failure() -> None:
    assert checks.unpriced(0, 0, []).state == OK
    one = checks.unpriced(100, 1, ["p/m"])
    assert one.state == WARN
    assert "p/m" in one.found
    assert checks.unpriced(100, 50, ["p/m"]).state == FAIL


def test_gpus_without_a_price_are_a_warning_and_readings_that_are_not_their_rows_a_failure() -> None:
    assert checks.gpus(0, 0, [], 0).state == OK
    one = checks.gpus(10, 1, ["NVIDIA B200"], 0)
    assert one.state == WARN and "NVIDIA B200" in one.found
    assert checks.gpus(10, 1, ["NVIDIA B200"], 1).state == FAIL
    twice = checks.gpus(10, 0, [], 0, overlapping=2, overlap_ms=5_400_000)
    assert twice.state == WARN and "1.50 h of 2 devices" in twice.found


def test_books_that_do_not_balance_fail() -> None:
    assert checks.conservation(0, 5, 5).state == OK
    assert checks.conservation(1, 5, 5).state == FAIL
    assert checks.conservation(0, 5, 6).state == FAIL


def test_totals_that_do_not_add_up_are_said_and_worth_a_look_once_they_are_one_in_a_hundred() -> None:
    assert checks.token_totals(0, 0, []).state == OK
    few = checks.token_totals(1_000, 9, ["openai/gpt-5.5"])
    assert (few.state, few.found) == (OK, "9 of 1000 events in the last day do not add up (0.90%)")
    many = checks.token_totals(1_000, 10, ["openai/gpt-5.5"])
    assert (many.state, many.found.rpartition(": ")[2]) == (WARN, "openai/gpt-5.5")


def test_a_horizon_that_does_not_fit_says_how_much_of_it_is_held() -> None:
    assert checks.horizon(10, 10, 86_400).state == OK
    short = checks.horizon(20, 10, 86_400)
    assert short.state == WARN
    assert "about 12.0 h" in short.advice
