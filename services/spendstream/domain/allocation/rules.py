"""`AttributionRule` documents, checked field by field. The form is in `examples/rules.yaml`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, TypeVar

from spendstream.domain import effective
from spendstream.domain.allocation.model import CATEGORIES, DIMENSIONS, SOURCES, TAGS, SourceRow
from spendstream.domain.effective import ALWAYS, Effective, parse_effective
from spendstream.domain.money import decimal_from, pico_from_usd

Errors = list[tuple[str, str]]
Number = TypeVar("Number", Fraction, int)
#: Which of any of the values a dimension may have.
Match = Mapping[str, frozenset[str]]

#: Metrics a source of this program counts; any other name is legal and shares nothing until some source counts it.
METRICS: Final = (
    "requests", "tokens", "input_tokens", "output_tokens", "cost", "gpu_seconds", "gpu_cost", "storage_bytes",
)  # fmt: skip
DEFAULT_PRIORITY: Final = 100
#: What each model reads, and what it must have.
_FIELDS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "direct": ((), ()),
    "proportional": (("metric", "by", "over"), ("metric",)),
    "fixed": (("shares", "by"), ("shares",)),
    "activity": (("activity", "unit_cost_usd", "by", "over"), ("activity",)),
    "even": (("by", "over"), ()),
}
MODELS: Final = tuple(_FIELDS)
_COMMON: Final = ("match", "model", "priority", "counted_in", *effective.KEYS)
_KNOWN: Final = (*_COMMON, "metric", "by", "over", "shares", "activity", "unit_cost_usd")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {"category": CATEGORIES, "source": SOURCES}


@dataclass(frozen=True)
class Rule:
    """Costs that `match` are shared out by `model`.

    `by`: the tags shares are made for. `metric`: what is summed for `proportional` and counted for `activity`.
    `over`: the usage that counts (everything of the organisation when empty). `shares` add up to 1 exactly.
    `counted_in`: the source this money is counted in where two hold it; empty when the rule does not say.
    `effective`: whole days, UTC; only cost of these days is shared out, by what was used on these days.
    """

    org: str
    name: str
    priority: int
    match: Match
    model: str
    by: tuple[str, ...]
    metric: str = ""
    over: Match = field(default_factory=dict)
    shares: tuple[tuple[str, Fraction], ...] = ()
    unit_cost_pico_usd: int | None = None
    counted_in: str = ""
    effective: Effective = ALWAYS


def in_order(rules: Iterable[Rule]) -> list[Rule]:
    """The order in which rules are tried: the smaller `priority` first, then by name."""
    return sorted(rules, key=lambda rule: (rule.priority, rule.name))


def matches(match: Match, row: SourceRow) -> bool:
    """Every dimension named must have one of its values."""
    return all(row.dimensions[dimension] in values for dimension, values in match.items())


def parse_rule(org: str, name: str, spec: Mapping[str, Any]) -> tuple[Rule | None, Errors]:
    """The rule that `spec` declares, or None and every (path, what is wrong). Numbers: Decimal, str or int."""
    reader = _Reader(spec)
    model = reader.model()
    rule = Rule(
        org=org,
        name=name,
        priority=reader.priority(),
        match=reader.match("match", required=True),
        model=model,
        by=reader.by(single=model == "fixed"),
        metric=reader.text("activity" if model == "activity" else "metric"),
        over=reader.match("over"),
        shares=reader.shares(),
        unit_cost_pico_usd=reader.unit_cost(),
        counted_in=reader.counted_in(),
        effective=reader.effective(),
    )
    return (None, reader.errors) if reader.errors else (rule, [])


@dataclass(slots=True)
class _Reader:
    """Reads one spec; complaints gather in `errors`, so that one run shows them all."""

    spec: Mapping[str, Any]
    errors: Errors = field(default_factory=list)

    def __post_init__(self) -> None:
        for key in self.spec:
            if key not in _KNOWN:
                self._wrong(str(key), "is not a field of a rule; known: " + ", ".join(_KNOWN))

    def model(self) -> str:
        model = self.spec.get("model")
        if not isinstance(model, str) or model not in _FIELDS:
            self._wrong("model", "is missing" if model is None else "must be one of " + ", ".join(MODELS))
            return ""
        allowed, needed = _FIELDS[model]
        for key in needed:
            if key not in self.spec:
                self._wrong(key, f"is missing: model {model} needs it")
        for key in self.spec:
            if key in _KNOWN and key not in (*_COMMON, *allowed):
                self._wrong(key, f"has no meaning in model {model}")
        return model

    def priority(self) -> int:
        value = self.spec.get("priority", DEFAULT_PRIORITY)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        self._wrong(
            "priority", f"must be a whole number; the smallest is tried first, the default is {DEFAULT_PRIORITY}"
        )
        return DEFAULT_PRIORITY

    def match(self, key: str, required: bool = False) -> Match:
        value = self.spec.get(key)
        if value is None and not (required or key in self.spec):
            return {}
        if not isinstance(value, Mapping) or not value:
            self._wrong(key, "name at least one of " + ", ".join(DIMENSIONS))
            return {}
        return {
            str(dimension): self._values(f"{key}.{dimension}", str(dimension), values)
            for dimension, values in value.items()
        }

    def _values(self, path: str, dimension: str, values: Any) -> frozenset[str]:
        if dimension not in DIMENSIONS:
            self._wrong(path, "is not something a rule can match on; known: " + ", ".join(DIMENSIONS))
        given = values if isinstance(values, list | tuple) else [values]
        if not given or not all(isinstance(value, str) and value for value in given):
            self._wrong(path, "must be text or a list of texts")
            return frozenset()
        choices = _CHOICES.get(dimension, given)
        for value in given:
            if value not in choices:
                self._wrong(path, f"{value!r} is not known; known: " + ", ".join(choices))
        return frozenset(given)

    def by(self, single: bool) -> tuple[str, ...]:
        value = self.spec.get("by", "team")
        named = value if isinstance(value, list | tuple) else [value]
        if not named or not all(isinstance(tag, str) and tag in TAGS for tag in named):
            self._wrong("by", f"must be one or more of {', '.join(TAGS)}")
            return ("team",)
        if len(set(named)) < len(named):
            self._wrong("by", "names a tag twice")
        if single and len(named) > 1:
            self._wrong("by", "must be a single tag in model fixed")
        return tuple(tag for tag in TAGS if tag in named)

    def text(self, key: str) -> str:
        value = self.spec.get(key, "")
        if key in self.spec and not (isinstance(value, str) and value):
            self._wrong(key, "must be the name of a metric, such as " + ", ".join(METRICS))
        return value if isinstance(value, str) else ""

    def shares(self) -> tuple[tuple[str, Fraction], ...]:
        if "shares" not in self.spec:
            return ()
        value = self.spec["shares"]
        if not isinstance(value, Mapping) or not value:
            self._wrong("shares", "must be a mapping from owner to share")
            return ()
        before = len(self.errors)
        shares = tuple((str(owner), self._share(owner, share)) for owner, share in sorted(value.items(), key=_as_text))
        total = sum((share for _, share in shares), Fraction(0))
        if len(self.errors) == before and total != 1:
            self._wrong("shares", f"must sum to exactly 1, not {_digits(total)}")
        return shares

    def _share(self, owner: Any, value: Any) -> Fraction:
        path = f"shares.{owner}"
        if not isinstance(owner, str) or not owner:
            self._wrong(path, "an owner must be text")
        share = self._number(path, value, lambda given: Fraction(decimal_from(given)))
        if share is not None and share <= 0:
            self._wrong(path, "must be above 0; 0.5 means half")
        return share or Fraction(0)

    def unit_cost(self) -> int | None:
        if "unit_cost_usd" not in self.spec:
            return None
        pico = self._number("unit_cost_usd", self.spec["unit_cost_usd"], pico_from_usd)
        if pico is not None and pico <= 0:
            self._wrong("unit_cost_usd", "must be above 0")
        return pico

    def _number(self, path: str, value: Any, read: Callable[[Any], Number]) -> Number | None:
        try:
            return read(value)
        except ValueError as error:
            self._wrong(path, str(error))
            return None

    def counted_in(self) -> str:
        value = self.spec.get("counted_in", "")
        if "counted_in" in self.spec and value not in SOURCES:
            self._wrong("counted_in", f"must be the source this money is counted in: {', '.join(SOURCES)}")
        return value if isinstance(value, str) else ""

    def effective(self) -> Effective:
        stretch, errors = parse_effective(self.spec, whole_days=True)
        self.errors += errors
        return stretch

    def _wrong(self, path: str, message: str) -> None:
        self.errors.append((path, message))


def _as_text(item: tuple[Any, Any]) -> str:
    return str(item[0])


def _digits(total: Fraction) -> str:
    """A fraction for a message: exact where it has an end within twenty digits."""
    scaled = round(total * 10**20)
    whole, rest = divmod(scaled, 10**20)
    return f"{whole}.{rest:020d}".rstrip("0").rstrip(".")


def unknown_metrics(rule: Rule) -> Sequence[tuple[str, str]]:
    """(path, warning) for a metric that nothing counts today."""
    path = "activity" if rule.model == "activity" else "metric"
    if not rule.metric or rule.metric in METRICS:
        return []
    return [
        (path, f"{rule.metric} is counted by no source yet: the cost stays unallocated; known: {', '.join(METRICS)}")
    ]


def rewritten(before: Rule, after: Rule) -> Sequence[tuple[str, str]]:
    """(path, warning) where a changed document says something else of days that may be allocated already. To end a rule
    is no such change."""
    if replace(before, effective=ALWAYS) == replace(after, effective=ALWAYS):
        return []
    return [
        ("", "says something else of past days too: months that are reallocated move to it. To keep them, give the old"
         " document an effective_to, and the new terms a document of another name with that day as effective_from")
    ]  # fmt: skip
