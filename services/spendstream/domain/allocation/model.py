"""Source rows (what was spent, by whom, on what) and placements (who bears it)."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

TAGS = ("team", "project", "environment", "cost_center")
UNALLOCATED = "unallocated"
SOURCES = ("usage", "gpu", "billing")
CATEGORIES = (
    "compute_training", "compute_inference", "data_storage", "data_processing", "external_apis", "engineering_time",
    "infrastructure", "licensing",
)  # fmt: skip
#: What a rule can match on. `account` and `charge_category` are FOCUS SubAccountId and ChargeCategory.
DIMENSIONS = (
    "source", "category", "provider", "service", "feature", "model", "region", "account", "charge_category", *TAGS,
)  # fmt: skip
DIRECT, ALLOCATED, IDLE = "direct", "allocated", "idle"


class Tags(NamedTuple):
    """The four tags of an owner; `unallocated` where nobody said."""

    team: str = UNALLOCATED
    project: str = UNALLOCATED
    environment: str = UNALLOCATED
    cost_center: str = UNALLOCATED


class Origin(NamedTuple):
    """Where a cost stood before any rule. `kind`: direct, idle or unallocated; `reason` names an idle bucket
    (`idle`, `idle:<owner>`) or says why nobody owns it. `also_in`: the source that counts the same money where it has
    seen this provider (an invoice of calls that `usage` measures), else empty."""

    source: str
    category: str
    provider: str
    service: str
    also_in: str
    kind: str
    reason: str
    tags: Tags


class Days(NamedTuple):
    """UTC days from `first` (inclusive) to `end` (exclusive)."""

    first: date
    end: date


class SourceRow(NamedTuple):
    """One combination of dimensions over some days of one month: its cost in pico-dollars and what was used.

    `dimensions` holds a value for each of DIMENSIONS; `metrics` are quantities × 10^12, so that fractions are exact.
    """

    dimensions: Mapping[str, str]
    also_in: str
    kind: str
    reason: str
    cost_pico_usd: int
    metrics: Mapping[str, int]
    days: Days

    @property
    def tags(self) -> Tags:
        return Tags(*(self.dimensions[tag] or UNALLOCATED for tag in TAGS))

    @property
    def origin(self) -> Origin:
        values = self.dimensions
        where = (values["source"], values["category"], values["provider"], values["service"])
        return Origin(*where, self.also_in, self.kind, self.reason, self.tags)


class Placement(NamedTuple):
    """Who bears a cost, and where it came from. `rule` is empty where no rule matched.

    `counted_in`: the source this money is counted in where two hold it, as the rule says; else empty.
    """

    origin: Origin
    rule: str
    model: str
    counted_in: str
    kind: str
    reason: str
    tags: Tags

    @property
    def bucket(self) -> str:
        """For people: the team, `unallocated`, or the idle bucket's name."""
        if self.kind == IDLE:
            return self.reason
        if self.kind == UNALLOCATED:
            return UNALLOCATED
        named = (f"{tag}={value}" for tag, value in zip(TAGS, self.tags, strict=True) if value != UNALLOCATED)
        return next(named, UNALLOCATED).removeprefix("team=")


#: Pico-dollars by placement; nothing is zero.
Amounts = Mapping[Placement, int]


def in_place(origin: Origin, rule: str = "", counted_in: str = "") -> Placement:
    """The cost stays where it stood."""
    return Placement(origin, rule, DIRECT, counted_in, origin.kind, origin.reason, origin.tags)


def summed(parts: Iterable[tuple[Placement, int]]) -> dict[Placement, int]:
    """Sums by placement, without those that are zero."""
    total: dict[Placement, int] = {}
    for placement, pico_usd in parts:
        total[placement] = total.get(placement, 0) + pico_usd
    return {placement: pico_usd for placement, pico_usd in total.items() if pico_usd}
