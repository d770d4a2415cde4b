"""From the names on a usage record to a model and its lanes: documents first, then the catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from spendstream.domain.prices.catalogue import Catalogue
from spendstream.domain.prices.combinations import Combination, Name
from spendstream.domain.prices.currency import FxRates, split_label
from spendstream.domain.prices.model import ALWAYS, STANDARD, PriceRevision
from spendstream.domain.prices.timeline import DOLLARS_ONLY, NO_MODEL, Segment, current, in_order, segments

# Names come from producers: past this many they are forgotten and learnt anew.
MAX_REMEMBERED: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Model:
    """All prices of one model. `general` (no region) has a list for each part of the day."""

    provider: str
    model: str
    general: tuple[Sequence[PriceRevision], ...]
    regional: Mapping[str, Sequence[PriceRevision]] = field(default_factory=dict)
    day_starts: tuple[int, ...] = (0,)

    def lists(self, tier: str) -> bool:
        """Whether any price, at any time, knows the service tier."""
        timelines = (*self.general, *self.regional.values())
        return any(revision.price.tier(tier) for timeline in timelines for revision in timeline)


class Resolver:
    """Maps names to lanes, and appends to `lanes` as new (model, tier, region) are met; a lane never changes.

    There are no more lanes than prices allow: names, tiers and regions nobody has a price for share theirs.
    """

    def __init__(
        self, documents: Iterable[PriceRevision], catalogue: Catalogue | None, rates: FxRates = DOLLARS_ONLY
    ) -> None:
        self.lanes: list[list[Segment]] = [[Segment(ALWAYS, None, reason=NO_MODEL)]]
        self._catalogue, self._rates = catalogue, rates
        standing = current(documents)
        self._documented = _by_name(standing)
        self._by_id = {revision.price_id: revision for revision in standing}
        self._published: dict[tuple[str, str], _Model] = {}
        self._lanes_of: dict[tuple[str, str, str, str], tuple[int, ...]] = {}
        self._remembered: dict[Name, Combination] = {}

    def combination(self, provider: str, model: str, tier: str, region: str) -> Combination:
        """What these names mean ('' for null). Semantics.md, Pricing 1: alias to model, then the service tier."""
        name = (provider, model, tier, region)
        if name not in self._remembered:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[name] = self._resolve(*name)
        return self._remembered[name]

    def revision(self, price_id: str) -> tuple[PriceRevision, Fraction] | None:
        """The price behind a price id this book gave, and dollars of one unit of its currency."""
        plain, exchange = split_label(price_id)
        if plain in self._by_id:
            return self._by_id[plain], exchange
        published = self._catalogue.revision(plain) if self._catalogue is not None else None
        return None if published is None else (published, exchange)

    def _resolve(self, provider: str, model: str, tier: str, region: str) -> Combination:
        tier = tier or STANDARD
        found = self._find(provider, model)
        if found is None:
            return Combination(provider, model, tier, (0,), (0,))
        return Combination(found.provider, found.model, tier, found.day_starts, self._lanes(found, tier, region))

    def _find(self, provider: str, model: str) -> _Model | None:
        """Documents of a model replace the catalogue for it, also under every name the catalogue knows it by."""
        documented = self._documented.get((provider, model))
        if documented or self._catalogue is None:
            return documented
        resolved = self._catalogue.resolve(provider, model)
        if resolved is None:
            return None
        name = (resolved.provider, resolved.model)
        if name in self._documented:
            return self._documented[name]
        if name not in self._published:
            self._published[name] = _Model(*name, resolved.versions, day_starts=resolved.day_starts)
        return self._published[name]

    def _lanes(self, model: _Model, tier: str, region: str) -> tuple[int, ...]:
        tier = tier if model.lists(tier) else ""
        region = region if region in model.regional else ""
        key = (model.provider, model.model, tier, region)
        if key not in self._lanes_of:
            first = len(self.lanes)
            self.lanes += [segments(part, model.regional.get(region, ()), tier, self._rates) for part in model.general]
            self._lanes_of[key] = tuple(range(first, len(self.lanes)))
        return self._lanes_of[key]


def _by_name(standing: Iterable[PriceRevision]) -> dict[tuple[str, str], _Model]:
    """Models by (provider, name), where name is the model or an alias; a model's own name beats another's alias."""
    of_model: dict[tuple[str, str], list[PriceRevision]] = {}
    for revision in standing:
        of_model.setdefault((revision.price.provider, revision.price.model), []).append(revision)
    models = {name: _model(*name, revisions) for name, revisions in of_model.items()}
    by_name: dict[tuple[str, str], _Model] = {}
    everything = [revision for revisions in of_model.values() for revision in revisions]
    for revision in sorted(everything, key=lambda r: (r.known_at, r.name)):
        price = revision.price
        for alias in price.aliases:
            by_name[price.provider, alias] = models[price.provider, price.model]
    return by_name | models


def _model(provider: str, model: str, revisions: Sequence[PriceRevision]) -> _Model:
    regions = {r.price.region for r in revisions}
    timelines = {region: in_order(r for r in revisions if r.price.region == region) for region in regions}
    general = timelines.pop(None, [])
    regional = {region: timeline for region, timeline in timelines.items() if region is not None}
    return _Model(provider, model, (general,), regional)
