"""Source rows, rules and months for tests of allocation."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from spendstream.domain.allocation import Days, Placement, Rule, SourceRow, parse_rule
from spendstream.domain.allocation.model import CATEGORIES, DIMENSIONS, SOURCES, TAGS, UNALLOCATED
from spendstream.domain.money import pico_from_usd
from spendstream.operations.allocation_ledger import Month

PICO = 10**12
#: A month that is over, and whose charges are kept.
LAST_MONTH = Month.parse(f"{datetime.now(UTC).replace(day=1) - timedelta(days=1):%Y-%m}")

NOVEMBER = Days(date(2026, 11, 1), date(2026, 12, 1))


def november(first: int, last: int | None = None) -> Days:
    """Days of November 2026, the last one included."""
    return Days(date(2026, 11, first), date(2026, 11, last or first) + timedelta(days=1))


def row(
    usd: str | int = 0, *, kind: str = "", reason: str = "", metrics: Mapping[str, Any] | None = None,
    days: Days = NOVEMBER, **dims: str,
) -> SourceRow:  # fmt: skip
    """A usage row of category external_apis; tags that are not given are unallocated."""
    values = {
        **dict.fromkeys(DIMENSIONS, ""), **dict.fromkeys(TAGS, UNALLOCATED), "source": "usage",
        "category": "external_apis", **dims,
    }  # fmt: skip
    kind = kind or ("unallocated" if values["team"] == UNALLOCATED else "direct")
    quantities = {name: pico_from_usd(value) for name, value in (metrics or {}).items()}
    return SourceRow(values, "", kind, reason, pico_from_usd(usd), quantities, days)


def rule(name: str = "rule", **spec: Any) -> Rule:
    """A rule that parses; it matches category data_storage unless told otherwise."""
    parsed, errors = parse_rule("default", name, {"match": {"category": "data_storage"}, **spec})
    assert parsed is not None, errors
    return parsed


def wrong(**spec: Any) -> dict[str, str]:
    """What is wrong with a spec, by path."""
    parsed, errors = parse_rule("default", "x", spec)
    assert (parsed is None) == bool(errors)
    return dict(errors)


def usd_by_team(amounts: Mapping[Placement, int], kind: str = "allocated") -> dict[str, Decimal]:
    """Dollars by team of one kind."""
    found: dict[str, int] = {}
    for placement, pico in amounts.items():
        if placement.kind == kind:
            found[placement.tags.team] = found.get(placement.tags.team, 0) + pico
    return {team: Decimal(pico).scaleb(-12) for team, pico in found.items()}


WORDS = st.sampled_from(["a", "b", "c"])
OWNERS = st.sampled_from(["search", "ads", "chat", UNALLOCATED])
DAY_NUMBERS = st.integers(1, 30)
#: A day, a month, or anything between.
DAYS = st.one_of(
    st.just(NOVEMBER), DAY_NUMBERS.map(november),
    st.tuples(DAY_NUMBERS, DAY_NUMBERS).map(lambda both: november(min(both), max(both))),
)  # fmt: skip
AMOUNTS = st.one_of(st.integers(-50, 50), st.integers(-(10**20), 10**20))


@st.composite
def rows(draw: st.DrawFn) -> SourceRow:
    source = draw(st.sampled_from(SOURCES))
    team = draw(OWNERS)
    dims = {
        "category": draw(st.sampled_from(CATEGORIES[:3])), "service": draw(WORDS), "provider": draw(WORDS),
        "team": team, "project": draw(OWNERS),
    }  # fmt: skip
    idle = source == "gpu" and draw(st.booleans())
    kind = "idle" if idle else "unallocated" if team == UNALLOCATED else "direct"
    reason = ("idle" if team == UNALLOCATED else f"idle:{team}") if idle else ""
    quantities = draw(st.dictionaries(st.sampled_from(["requests", "tokens"]), st.integers(0, 9), max_size=2))
    made = row(0, kind=kind, reason=reason, source=source, days=draw(DAYS), **dims)
    scaled = {name: quantity * PICO for name, quantity in quantities.items()}
    return made._replace(cost_pico_usd=draw(AMOUNTS), metrics=scaled)


MATCHES = st.dictionaries(
    st.sampled_from(["category", "source", "service", "team"]), st.just(None), min_size=1, max_size=2
).flatmap(
    lambda keys: st.fixed_dictionaries({
        key: {"category": st.sampled_from(CATEGORIES[:3]), "source": st.sampled_from(SOURCES),
              "service": st.lists(WORDS, min_size=1, unique=True), "team": OWNERS}[key]
        for key in keys
    })
)  # fmt: skip
BY = st.sampled_from(["team", "project", ["team", "project"], "cost_center"])
MODELS = st.one_of(
    st.just({"model": "direct"}),
    st.fixed_dictionaries({
        "model": st.just("proportional"), "metric": st.sampled_from(["requests", "tokens", "x"]), "by": BY,
    }),
    st.fixed_dictionaries({
        "model": st.just("fixed"),
        "shares": st.sampled_from([{"search": Decimal("0.5"), "ads": Decimal("0.3"), "ops": Decimal("0.2")}, {"ads": 1},
                                   {"a": Decimal("0.333"), "b": Decimal("0.333"), "c": Decimal("0.334")}]),
    }),
    st.fixed_dictionaries(
        {"model": st.just("activity"), "activity": st.just("requests"), "by": BY},
        optional={"unit_cost_usd": st.sampled_from([Decimal("0.000000000003"), Decimal("2.5")])},
    ),
    st.fixed_dictionaries({"model": st.just("even"), "by": BY}),
)  # fmt: skip
EDGES = st.one_of(
    st.sampled_from(["2026-09-01", "2026-12-01", "2027-01-01"]), DAY_NUMBERS.map(lambda n: f"2026-11-{n:02}")
)
DATES = st.one_of(
    st.just({}), EDGES.map(lambda day: {"effective_from": day}), EDGES.map(lambda day: {"effective_to": day}),
    st.lists(EDGES, min_size=2, max_size=2, unique=True).map(
        lambda days: dict(zip(("effective_from", "effective_to"), sorted(days), strict=True))
    ),
)  # fmt: skip
RULES = st.lists(
    st.tuples(MATCHES, MODELS, st.integers(0, 2), DATES), max_size=5
).map(
    lambda drawn: [
        rule(f"r{i}", **{**model, **dates, "match": match, "priority": priority})
        for i, (match, model, priority, dates) in enumerate(drawn)
    ]
)  # fmt: skip
