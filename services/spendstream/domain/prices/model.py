"""What a price is: rates per token class, context tiers, service tiers, a period in force (domain.md §3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from spendstream.domain.prices.currency import USD

# Price classes, and beside each the token bucket it prices: `CLASSES[i]` is the price of `BUCKETS[i]` (tokens.py).
CLASSES: Final = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
)

# A class without its own price uses the other's; in this order, so that 1h falls through 5m to input.
FALLBACKS: Final = (
    ("cache_read", "input"),
    ("cache_write_5m", "input"),
    ("cache_write_1h", "cache_write_5m"),
    ("reasoning", "output"),
)

STANDARD: Final = "standard"
ALWAYS: Final = -(2**63)  # effective_from of a price without a beginning: the earliest moment an int64 holds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(micros: int) -> str:
    """RFC 3339 of `micros` since the epoch; `always` for a price without a beginning."""
    if micros == ALWAYS:
        return "always"
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class ContextTier:
    """Above `above_input_tokens` per request the whole request pays these prices; classes left out keep theirs."""

    above_input_tokens: int
    pico_per_token: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a token of each class costs, pico-dollars; a class that is missing has no price of its own."""

    pico_per_token: Mapping[str, int]
    context_tiers: tuple[ContextTier, ...] = ()  # ascending thresholds
    pico_per_request: int = 0

    @property
    def prices_something(self) -> bool:
        """False when neither a token nor a request has a price: such a price must not pass for zero."""
        return bool(self.pico_per_token or self.context_tiers or self.pico_per_request)

    def rows(self) -> list[tuple[int | None, ...]]:
        """Pico per token by class, in CLASSES order: the base row, then one row per context tier.

        The tier replaces the classes it lists first, the fallbacks come after (semantics.md, Pricing 3 and 4).
        """
        replaced = [{**self.pico_per_token, **tier.pico_per_token} for tier in self.context_tiers]
        return [_with_fallbacks(own) for own in (self.pico_per_token, *replaced)]


def _with_fallbacks(own: Mapping[str, int]) -> tuple[int | None, ...]:
    prices: dict[str, int | None] = {name: own.get(name) for name in CLASSES}
    for name, other in FALLBACKS:
        if prices[name] is None:
            prices[name] = prices[other]
    return tuple(prices.values())


@dataclass(frozen=True, slots=True)
class ServiceTier:
    """How a service tier differs: a multiplier on everything, or a published table of its own (`rates`)."""

    multiplier: Fraction = Fraction(1)
    rates: Rates | None = None


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """One price of one model, in force from `effective_from` (inclusive) to `effective_to` (exclusive), microseconds.

    `effective_to` None: until the next price of the model. `region` None: any region without a price of its own.
    """

    provider: str
    model: str
    rates: Rates
    effective_from: int = ALWAYS
    effective_to: int | None = None
    aliases: tuple[str, ...] = ()
    region: str | None = None
    service_tiers: Mapping[str, ServiceTier] = field(default_factory=dict)
    discount: Fraction = Fraction(0)
    margin: Fraction = Fraction(0)
    currency: str = USD  # of every amount in here, pico units of it

    def tier(self, name: str) -> ServiceTier | None:
        """The service tier called `name`; `standard` is always there; None for one the price does not list."""
        return self.service_tiers.get(name, ServiceTier() if name == STANDARD else None)

    @property
    def after_list(self) -> Fraction:
        """(1 − discount) × (1 + margin)."""
        return (1 - self.discount) * (1 + self.margin)


@dataclass(frozen=True, slots=True)
class GpuPrice:
    """What an hour of one device of a GPU model costs, pico-dollars, over a period as in ModelPrice."""

    gpu: str
    pico_usd_per_hour: int
    effective_from: int
    effective_to: int | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class PriceRevision:
    """A price as it was known from `known_at` (microseconds). Identity: `name` + the price's `effective_from`."""

    name: str
    price: ModelPrice
    revision: int = 1
    known_at: int = ALWAYS

    @property
    def price_id(self) -> str:
        """`name@effective_from#revision`: stands on every cost row this price made."""
        return f"{self.name}@{timestamp(self.price.effective_from)}#{self.revision}"
