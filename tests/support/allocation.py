"""Source rows, rules and months for tests of allocation."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from spendstream.domain.allocation import Placement, Rule, SourceRow, parse_rule
from spendstream.domain.allocation.model import CATEGORIES, DIMENSIONS, SOURCES, TAGS, UNALLOCATED
from spendstream.domain.money import pico_from_usd
from spendstream.operations.allocation_ledger import Month

PICO = 10**12
#: A month that is over, and whose charges are kept.
LAST_MONTH = Month.parse(f"{datetime.now(UTC).replace(day=1) - timedelta(days=1):%Y-%m}")


def row(
    usd: str | int = 0, *, kind: str = "", reason: str = "", metrics: Mapping[str, Any] | None = None, **dims: str
) -> SourceRow:
    """A usage row of category external_apis; tags that are not given are unallocated."""
    values = {
        **dict.fromkeys(DIMENSIONS, ""), **dict.fromkeys(TAGS, UNALLOCATED), "source": "usage",
        "category": "external_apis", **dims,
    }  # fmt: skip
    kind = kind or ("unallocated" if values["team"] == UNALLOCATED else "direct")
    quantities = {name: pico_from_usd(value) for name, value in (metrics or {}).items()}
    return SourceRow(values, "", kind, reason, pico_from_usd(usd), quantities)


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
    made = row(0, kind=kind, reason=reason, source=source, **dims)
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
RULES = st.lists(
    st.tuples(MATCHES, MODELS, st.integers(0, 2)), max_size=5
).map(
    lambda drawn: [
        rule(f"r{i}", **{**model, "match": match, "priority": priority})
        for i, (match, model, priority) in enumerate(drawn)
    ]
)  # fmt: skip
