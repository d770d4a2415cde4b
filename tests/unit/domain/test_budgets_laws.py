"""Exactly once, however batches are cut, whenever it restarts: against a reference that counts from scratch."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain.alerts import fingerprint
from spendstream.domain.budgets import Budget, BudgetEngine
from spendstream.schemas import decode, encode
from tests.unit.domain.budgets_support import HOUR, MINUTE, USD, Row, at, budget, deltas, engine

T = at("2026-10-24 20:00")  # Berlin's clocks go back five hours later
BUDGETS = (
    budget("team-hour", window="hour", amount_usd=20),
    budget("team-day", window="day", timezone="Europe/Berlin", amount_usd=60),
    budget("prod-model", scope={"environment": "prod", "model": "m1"}, window="hour", amount_usd=15),
    budget("org-month", scope={}, window="month", amount_usd=90, ladder=[{"at": "0.5", "level": "warning"}]),
)
Emission = tuple[str, float]

dimensions = st.fixed_dictionaries(
    {
        "team": st.sampled_from(["search", "ads"]),
        "environment": st.sampled_from(["prod", "dev"]),
        "model": st.sampled_from(["m1", "m2"]),
    }
)
minutes = st.integers(0, 9 * 60).map(lambda minute: T + minute * MINUTE)
cents = st.integers(-800, 1200).map(lambda cent: cent * USD // 100)
rows = st.lists(st.tuples(minutes, cents, dimensions), min_size=1, max_size=40)
rising = st.lists(st.tuples(minutes, cents.map(abs), dimensions), min_size=1, max_size=40)
clocks = st.integers(0, 12).map(lambda hour: T + hour * HOUR)


def reference(history: Iterable[Row], budgets: Iterable[Budget]) -> set[Emission]:
    """Every level of every window whose running spend ever was at or above level x amount."""
    found: set[Emission] = set()
    spent: Counter[tuple[str, int]] = Counter()
    for minute, pico, values in history:
        for item in budgets:
            scope = dict(item.scope)
            if any(values.get(key) != value for key, value in scope.items()):
                continue
            start = window_start(item, minute)
            spent[item.name, start] += pico
            reached = Decimal(spent[item.name, start]) / Decimal(item.amount_pico_usd)
            alert_id = fingerprint("budget", item.name, {"org": "default", **scope}, start)
            found |= {(alert_id, float(rung.at)) for rung in item.ladder if reached >= rung.at}
    return found


def window_start(item: Budget, minute: int) -> int:
    zone = ZoneInfo(item.timezone)
    local = datetime.fromtimestamp(minute // 1_000_000, UTC).astimezone(zone)
    if item.window.kind == "hour":
        return minute // HOUR * HOUR
    day = 1 if item.window.kind == "month" else local.day
    return round(datetime(local.year, local.month, day, tzinfo=zone).timestamp()) * 1_000_000


def emissions(alerts: Iterable[Mapping[str, Any]]) -> Counter[Emission]:
    return Counter((alert["alert_id"], alert["level"]) for alert in alerts if alert["state"] == "firing")


def batches(history: Sequence[Row], cuts: Iterable[int]) -> list[Sequence[Row]]:
    bounds = sorted({0, len(history), *(cut % (len(history) + 1) for cut in cuts)})
    return [history[low:high] for low, high in pairwise(bounds)]


def over_the_wire(name: str, records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [decode(encode(name, record))[1] for record in records]


def reborn(running: BudgetEngine) -> BudgetEngine:
    return BudgetEngine.restore(json.loads(json.dumps(running.snapshot())))


@given(rows, st.lists(st.integers(0, 40)), st.lists(clocks, min_size=1))
@settings(deadline=None, max_examples=150)
def test_levels_fire_exactly_once_however_batches_are_cut_and_clocks_run(
    history: list[Row], cuts: list[int], ticks: list[int]
) -> None:
    running, published = engine(*BUDGETS, now=T), []
    for number, batch in enumerate(batches(history, cuts)):
        now = ticks[number % len(ticks)]
        published += running.update(deltas(batch), now).alerts
        published += running.tick(now).alerts
    assert emissions(published) == Counter(reference(history, BUDGETS))


@given(rising.flatmap(lambda history: st.tuples(st.just(history), st.permutations(history))), clocks)
@settings(deadline=None, max_examples=100)
def test_while_spend_only_rises_its_order_does_not_matter(both: tuple[list[Row], list[Row]], now: int) -> None:
    one, other = (engine(*BUDGETS, now=T).update(deltas(history), now).alerts for history in both)
    assert emissions(one) == emissions(other)


@given(rows, st.lists(st.integers(0, 40)), st.lists(clocks, min_size=1))
@settings(deadline=None, max_examples=100)
def test_a_restart_from_the_snapshot_after_every_batch_is_not_noticed(
    history: list[Row], cuts: list[int], ticks: list[int]
) -> None:
    steady, restarted = engine(*BUDGETS, now=T), engine(*BUDGETS, now=T)
    for number, batch in enumerate(batches(history, cuts)):
        now = ticks[number % len(ticks)]
        restarted = reborn(restarted)
        assert restarted.update(deltas(batch), now) == steady.update(deltas(batch), now)
        assert restarted.tick(now + HOUR) == steady.tick(now + HOUR)
        assert restarted.status(now) == steady.status(now)


@given(rows, st.integers(0, 40), st.integers(0, 40), st.lists(st.integers(0, 40)), clocks, clocks)
@settings(deadline=None, max_examples=150)
def test_a_crash_behind_an_old_snapshot_repeats_nothing(
    history: list[Row], kept: int, lost: int, cuts: list[int], before: int, after: int
) -> None:
    kept %= len(history) + 1
    crash = min(len(history), kept + lost)
    running = engine(*BUDGETS, now=T)
    published = running.update(deltas(history[:kept]), before).alerts
    snapshot = json.loads(json.dumps(running.snapshot()))
    changes = running.update(deltas(history[kept:crash]), before)
    published += changes.alerts

    running = BudgetEngine.restore(snapshot)
    running.recall(over_the_wire("Alert", published), over_the_wire("EnforcementState", changes.enforcement))
    now = max(before, after)
    published += running.set_documents(BUDGETS, now).alerts
    for batch in batches(history[kept:], cuts):
        published += running.update(deltas(batch), now).alerts
    published += running.caught_up(now).alerts
    assert emissions(published) == Counter(reference(history, BUDGETS))


@given(rows, clocks)
@settings(deadline=None, max_examples=100)
def test_without_any_snapshot_the_topics_alone_keep_it_from_repeating(history: list[Row], now: int) -> None:
    first = engine(*BUDGETS, now=T)
    published = first.update(deltas(history), now).alerts
    second = BudgetEngine()
    second.recall(over_the_wire("Alert", published))
    again = second.set_documents(BUDGETS, now).alerts + second.update(deltas(history), now).alerts
    assert not emissions(again)


@given(rows, clocks)
@settings(deadline=None, max_examples=100)
def test_revisions_of_an_alert_count_up_by_one_and_urgency_never_falls_while_it_is_open(
    history: list[Row], now: int
) -> None:
    running = engine(*BUDGETS, now=T)
    published = running.update(deltas(history), now).alerts + running.tick(T + 40 * HOUR).alerts
    last: dict[str, dict[str, Any]] = {}
    severities = ["notice", "warning", "action", "critical", "page"]
    for alert in published:
        known = last.get(alert["alert_id"])
        assert alert["revision"] == (known["revision"] + 1 if known else 1)
        if known and known["state"] == "firing":
            assert severities.index(alert["severity"]) >= severities.index(known["severity"])
        last[alert["alert_id"]] = alert


@given(rows, clocks)
@settings(deadline=None, max_examples=100)
def test_a_budget_declared_afterwards_stands_where_one_declared_before_stands(history: list[Row], now: int) -> None:
    early, late = engine(*BUDGETS, now=T), engine(now=T)
    early.update(deltas(history), now)
    late.update(deltas(history), now)
    late.set_documents(BUDGETS, now)
    assert [row["spent_usd"] for row in late.status(now)] == [row["spent_usd"] for row in early.status(now)]


@given(rows, st.lists(st.integers(0, 40)), clocks)
@settings(deadline=None, max_examples=100)
def test_enforcement_is_what_the_current_spend_calls_for_and_never_said_twice(
    history: list[Row], cuts: list[int], now: int
) -> None:
    running = engine(*BUDGETS, now=T)
    said: dict[str, dict[str, Any]] = {}
    for batch in batches(history, cuts):
        for state in running.update(deltas(batch), now).enforcement:
            known = said.get(state["scope_key"])
            assert state["revision"] == (known["revision"] + 1 if known else 1)
            assert known is None or (known["action"], known["budgets"]) != (state["action"], state["budgets"])
            said[state["scope_key"]] = state
    for row, item in zip(running.status(now), BUDGETS, strict=True):
        reached = [rung for rung in item.ladder if row["spent_usd"] >= rung.at * row["amount_usd"]]
        key = ",".join(f"{k}={v}" for k, v in item.scope) or "org=default"
        lines = {line["name"]: line["action"] for line in said.get(key, {}).get("budgets", [])}
        expected = next((rung.enforce for rung in reversed(reached) if rung.enforce != "allow"), "allow")
        assert lines.get(item.name, "allow") == expected
