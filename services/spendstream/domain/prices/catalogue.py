"""The published list prices: `genai-prices`, shipped with its data, compiled to the same ModelPrice versions.

What maps: token classes, context tiers, start dates, times of day (DeepSeek's off-peak hours), per-request fees, and
the request contexts `processing=batch`, `service_tier=…` and `speed=…` as service tiers, each from the date the
catalogue knows it. What does not map stays unpriced: models the catalogue lists without any price (only `…:free` names
are taken at their word as zero) and models billed only by audio hours, characters, pages or searches.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import genai_prices
from genai_prices.data_snapshot import find_provider_by_id

from spendstream.domain.money import quantise_usd
from spendstream.domain.prices.model import (
    ALWAYS,
    CLASSES,
    ContextTier,
    ModelPrice,
    PriceRevision,
    Rates,
    ServiceTier,
)

# Price class → the catalogue's keys, first one that is set wins. A class inside input or output that the catalogue
# does not price apart is billed as its parent: that is what its figures mean.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("input_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "output": ("output_mtok",),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
    "audio_input": ("input_audio_mtok", "input_mtok"),
    "audio_output": ("output_audio_mtok", "output_mtok"),
    "image_input": ("input_image_mtok", "input_mtok"),
}
_RELEASE: Final = f"genai-prices-{genai_prices.__version__}"
_PRICE_ID: Final = re.compile(re.escape(_RELEASE) + r"/(?P<provider>[^/]+)/(?P<model>.+?)(\+\d\d:\d\d)?@[^@]+#1")
_TIER_CONTEXTS: Final = frozenset(("processing", "service_tier", "speed"))
_MIDNIGHT: Final = time(0, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE_ALL: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A catalogue price finer than a pico-dollar per unit: what it says, and what it was quantised to."""

    price_id: str
    key: str
    usd: Decimal
    pico_per_unit: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """A catalogue model under its canonical names.

    `day_starts`: microseconds since midnight UTC at which another list of versions applies (almost always just 0);
    `versions[i]` are the prices of the part of the day from `day_starts[i]`, in order of time.
    """

    provider: str
    model: str
    day_starts: tuple[int, ...]
    versions: tuple[tuple[PriceRevision, ...], ...]
    conflicts: tuple[Conflict, ...]


class Catalogue:
    """The catalogue of one release of `genai-prices`. Models are compiled when first asked for, then kept."""

    def __init__(self) -> None:
        from genai_prices.data import providers  # noqa: PLC0415  # 30 000 lines: only when a catalogue is wanted

        self._providers: list[Any] = providers
        self._compiled: dict[tuple[str, str], Resolved] = {}

    def resolve(self, provider: str, model: str) -> Resolved | None:
        """The model that `provider` calls `model`, by the catalogue's own matching; None when it knows none."""
        found = self._find(provider, model)
        if found is None:
            return None
        owner, info = found
        return self._compile(owner, info)

    def revision(self, price_id: str) -> PriceRevision | None:
        """The price behind a price id of this release; None for any other id."""
        named = _PRICE_ID.fullmatch(price_id)
        owner = find_provider_by_id(self._providers, named["provider"]) if named else None
        if named is None or owner is None:
            return None
        # A provider may lend another one's model: its own come first, as when the name was resolved.
        lists = (owner.models, *(provider.models for provider in self._providers))
        for info in (info for models in lists for info in models if info.id == named["model"]):
            for versions in self._compile(owner, info).versions:
                for revision in versions:
                    if revision.price_id == price_id:
                        return revision
        return None

    def models(self) -> Iterator[tuple[str, str]]:
        """(provider, model) of everything the catalogue lists."""
        return ((provider.id, model.id) for provider in self._providers for model in provider.models)

    def conflicts(self) -> list[Conflict]:
        """Every catalogue price that had to be quantised. Compiles the whole catalogue."""
        compiled = (_Compiler(provider, model).resolved() for provider in self._providers for model in provider.models)
        return [conflict for resolved in compiled for conflict in resolved.conflicts]

    def _compile(self, owner: Any, info: Any) -> Resolved:
        key = (owner.id, info.id)
        if key not in self._compiled:
            self._compiled[key] = _Compiler(owner, info).resolved()
        return self._compiled[key]

    def _find(self, provider: str, model: str) -> tuple[Any, Any] | None:
        # Its cached lookup remembers every name it ever saw; names are the producers', so memory must not follow them.
        name, reference = provider.lower().strip(), model.lower()
        if name == "litellm" and "/" in reference:
            name, reference = reference.split("/", 1)
        owner = find_provider_by_id(self._providers, name) if name else None
        info = owner.find_model(reference, all_providers=self._providers) if owner else None
        return (owner, info) if info else None


class _Compiler:
    """Samples the catalogue's own `get_prices` once per constant stretch of dates, part of the day and context."""

    def __init__(self, provider: Any, info: Any) -> None:
        self._provider, self._info = provider, info
        # A model borrowed from another provider comes without its special tiers (so does `calc_price`).
        own = any(info is model for model in provider.models)
        self._variants: list[Any] = list(info.price_variants or ()) if own else []
        listed = info.prices if isinstance(info.prices, list) else []
        self._constraints: list[Any] = [
            item.constraint for item in (*listed, *self._variants) if item.constraint is not None
        ]
        self._conflicts: dict[tuple[str, str], Conflict] = {}

    def resolved(self) -> Resolved:
        slots = sorted({_MIDNIGHT, *(edge for c in self._constraints for edge in _edges(c))})
        days = sorted({_BEFORE_ALL, *(c.start_date for c in self._constraints if hasattr(c, "start_date"))})
        versions = tuple(tuple(self._revision(day, slot) for day in days) for slot in slots)
        return Resolved(
            self._provider.id,
            self._info.id,
            tuple(_micros_of_day(slot) for slot in slots),
            versions,
            tuple(self._conflicts.values()),
        )

    def _revision(self, day: date, slot: time) -> PriceRevision:
        moment = datetime.combine(day, slot)
        part_of_day = "" if slot == _MIDNIGHT else f"+{slot:%H:%M}"
        name = f"{_RELEASE}/{self._provider.id}/{self._info.id}{part_of_day}"
        start = (
            ALWAYS if day == _BEFORE_ALL else (datetime.combine(day, _MIDNIGHT) - _EPOCH) // timedelta(microseconds=1)
        )
        blank = PriceRevision(name, ModelPrice(self._provider.id, self._info.id, Rates({}), start))
        price = ModelPrice(
            self._provider.id,
            self._info.id,
            self._rates(self._info.get_prices(moment), blank.price_id),
            start,
            service_tiers=dict(self._tiers(moment, blank.price_id)),
        )
        return PriceRevision(name, price)

    def _tiers(self, moment: datetime, price_id: str) -> Iterator[tuple[str, ServiceTier]]:
        for variant in self._variants:
            if len(variant.when) != 1 or (variant.constraint is not None and not variant.constraint.active(moment)):
                continue
            [(context, name)] = variant.when.items()
            if context in _TIER_CONTEXTS:
                prices = self._info.get_prices(moment, variant.when)
                yield name, ServiceTier(rates=self._rates(prices, price_id))

    def _rates(self, prices: Any, price_id: str) -> Rates:
        listed = {key: value for key, value in vars(prices).items() if value is not None}
        if not listed and self._info.id.endswith(":free"):
            return Rates(dict.fromkeys(CLASSES, 0))
        thresholds = sorted({tier.start for value in listed.values() for tier in getattr(value, "tiers", ())})
        base, *tiers = (self._per_token(listed, above, price_id) for above in (-1, *thresholds))
        fee = listed.get("requests_kcount", Decimal(0))
        return Rates(
            base,
            tuple(ContextTier(above, row) for above, row in zip(thresholds, tiers, strict=True)),
            self._pico(fee, 1_000, "requests_kcount", price_id),
        )

    def _per_token(self, listed: Mapping[str, Any], above: int, price_id: str) -> dict[str, int]:
        row: dict[str, int] = {}
        for name, keys in _KEYS.items():
            key = next((key for key in keys if key in listed), None)
            if key is not None:
                row[name] = self._pico(_at(listed[key], above), 1_000_000, key, price_id)
        return row

    def _pico(self, usd: Decimal, per: int, key: str, price_id: str) -> int:
        pico, exact = quantise_usd(usd, per)
        if not exact:
            self._conflicts[price_id, f"{key} {usd}"] = Conflict(price_id, key, usd, pico)
        return pico


def _at(value: Any, above: int) -> Decimal:
    """The price when the input is above `above` tokens but not above the next threshold."""
    price: Decimal = getattr(value, "base", value)
    for tier in getattr(value, "tiers", ()):
        if tier.start <= above:
            price = tier.price
    return price


def _edges(constraint: Any) -> tuple[time, ...]:
    """Times of day (UTC) at which a constraint switches."""
    if not hasattr(constraint, "start_time"):
        return ()
    return tuple(
        datetime.combine(_BEFORE_ALL, edge if edge.tzinfo else edge.replace(tzinfo=UTC)).astimezone(UTC).timetz()
        for edge in (constraint.start_time, constraint.end_time)
    )


def _micros_of_day(moment: time) -> int:
    return (datetime.combine(_BEFORE_ALL, moment) - _EPOCH) // timedelta(microseconds=1)
