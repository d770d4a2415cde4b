"""`Price` control documents: an operator's spec, checked field by field, as a ModelPrice or GpuPrice.

Numbers arrive as Decimal, string or int; a float has already lost its digits and is refused. The caller says where in
which file a complaint belongs: here it carries the path inside the spec.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from spendstream.domain.effective import micros_from
from spendstream.domain.money import decimal_from, quantise_usd
from spendstream.domain.prices.currency import USD, currency_code
from spendstream.domain.prices.model import (
    CLASSES,
    STANDARD,
    ContextTier,
    GpuPrice,
    ModelPrice,
    Rates,
    ServiceTier,
)

TOKENS_PER_PRICE = 1_000_000
MAX_PICO_PER_UNIT = 10**18  # a million dollars a token or request, and still an int64
MAX_CONTEXT_TOKENS = 10**9

_PERIOD_KEYS = frozenset(("effective_from", "effective_to", "region"))
_GPU_KEYS = _PERIOD_KEYS | {"gpu", "usd_per_hour"}
_MODEL_KEYS = _PERIOD_KEYS | {
    "provider",
    "model",
    "aliases",
    "context_tiers",
    "service_tiers",
    "discount",
    "margin",
    "currency",
}
# Whether it is in dollars → what the prices of tokens and requests are called.
_PRICE_KEYS = {
    True: ("usd_per_million_tokens", "usd_per_request"),
    False: ("per_million_tokens", "per_request"),
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DocumentError:
    """What is wrong, and where: `path` inside the spec, as in `context_tiers[0].above_input_tokens`."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class ParsedPrice:
    """`price` is None exactly when there are errors; warnings never stop a document."""

    price: ModelPrice | GpuPrice | None
    errors: tuple[DocumentError, ...] = ()
    warnings: tuple[DocumentError, ...] = ()


def parse_price(spec: Mapping[str, object]) -> ParsedPrice:
    """The price `spec` (the `spec` of a `kind: Price` document) declares, or everything that is wrong with it."""
    reader = _Reader(spec)
    price = reader.gpu() if "gpu" in spec else reader.model()
    errors, warnings = tuple(reader.errors), tuple(reader.warnings)
    return ParsedPrice(None if errors else price, errors, warnings)


@dataclass(slots=True)
class _Reader:
    """Reads one spec; complaints gather in `errors` and reading goes on, so that one run shows them all."""

    spec: Mapping[str, object]
    errors: list[DocumentError] = field(default_factory=list)
    warnings: list[DocumentError] = field(default_factory=list)
    per_million: str = ""
    per_request: str = ""

    def model(self) -> ModelPrice:
        currency = self.currency()
        self.per_million, self.per_request = _PRICE_KEYS[currency == USD]
        self.known_keys(self.spec, _MODEL_KEYS | {self.per_million, self.per_request}, "")
        if not {self.per_million, self.per_request} & set(self.spec):
            self.wrong(self.per_million, f"is missing, and so is {self.per_request}: nothing has a price")
        key = self.per_million
        base = self.class_prices(self.spec[key], key) if key in self.spec else {}
        start, end = self.period()
        price = ModelPrice(
            provider=self.text(self.spec, "provider"),
            model=self.text(self.spec, "model"),
            rates=Rates(base, self.context_tiers(), self.pico(self.per_request, 1)),
            effective_from=start,
            effective_to=end,
            aliases=self.aliases(),
            region=self.region(),
            service_tiers=self.service_tiers(),
            discount=self.ratio("discount", most=1),
            margin=self.ratio("margin"),
            currency=currency,
        )
        if base.get("output", 0) < base.get("input", 0) and "output" in base:
            self.doubt(f"{key}.output", "is cheaper than input")
        return price

    def gpu(self) -> GpuPrice:
        self.known_keys(self.spec, _GPU_KEYS, "")
        if "usd_per_hour" not in self.spec:
            self.wrong("usd_per_hour", "is missing")
        start, end = self.period()
        return GpuPrice(self.text(self.spec, "gpu"), self.pico("usd_per_hour", 1), start, end, self.region())

    def wrong(self, path: str, message: str) -> None:
        self.errors.append(DocumentError(path, message))

    def doubt(self, path: str, message: str) -> None:
        self.warnings.append(DocumentError(path, message))

    def known_keys(self, mapping: Mapping[str, object], known: frozenset[str], path: str) -> None:
        for key in mapping:
            if key not in known:
                self.wrong(_join(path, str(key)), f"is not a field here; known: {', '.join(sorted(known))}")

    def mapping(self, value: object, path: str) -> Mapping[str, object]:
        if isinstance(value, Mapping):
            return value
        self.wrong(path, "must be a mapping")
        return {}

    def sequence(self, key: str) -> list[object]:
        value = self.spec.get(key, [])
        if isinstance(value, list | tuple):
            return list(value)
        self.wrong(key, "must be a list")
        return []

    def text(self, mapping: Mapping[str, object], key: str) -> str:
        value = mapping.get(key)
        if isinstance(value, str) and value.strip():
            return value
        self.wrong(key, "is missing" if value is None else "must be a non-empty string")
        return ""

    def currency(self) -> str:
        code = currency_code(self.spec.get("currency", USD))
        if code is None:
            self.wrong("currency", "must be a currency code such as EUR")
        return code or USD

    def region(self) -> str | None:
        return None if self.spec.get("region") is None else self.text(self.spec, "region")

    def aliases(self) -> tuple[str, ...]:
        names = self.sequence("aliases")
        for i, name in enumerate(names):
            if not isinstance(name, str) or not name.strip():
                self.wrong(f"aliases[{i}]", "must be a non-empty string")
        return tuple(str(name) for name in names)

    def number(self, value: object, path: str, read: Callable[[Decimal | str | int], T], otherwise: T) -> T:
        """`read(value)`; a complaint and `otherwise` for what is no exact, non-negative number."""
        try:
            if decimal_from(value) < 0:  # type: ignore[arg-type]  # it refuses what is no number
                raise ValueError(f"must not be negative, is {value}")
            return read(value)  # type: ignore[arg-type]
        except ValueError as error:
            self.wrong(path, str(error))
            return otherwise

    def usd(self, value: object, path: str, per: int) -> int:
        pico, exact = self.number(value, path, lambda usd: quantise_usd(usd, per), (0, True))
        if not exact:
            self.doubt(path, f"{value} USD does not fit whole pico-dollars; quantised half-even to {pico} a unit")
        if pico > MAX_PICO_PER_UNIT:
            self.wrong(path, f"{value} USD is out of range")
            return 0
        return pico

    def pico(self, key: str, per: int) -> int:
        return self.usd(self.spec[key], key, per) if key in self.spec else 0

    def ratio(self, key: str, most: int | None = None) -> Fraction:
        value = self.number(self.spec.get(key, 0), key, lambda n: Fraction(decimal_from(n)), Fraction(0))
        if most is not None and value > most:
            self.wrong(key, f"must be at most {most}, is {self.spec[key]}")
        return value

    def class_prices(self, value: object, path: str) -> dict[str, int]:
        prices = self.mapping(value, path)
        if not prices and isinstance(value, Mapping):
            self.wrong(path, "lists no class")
        self.known_keys(prices, frozenset(CLASSES), path)
        return {name: self.usd(prices[name], _join(path, name), TOKENS_PER_PRICE) for name in CLASSES if name in prices}

    def context_tiers(self) -> tuple[ContextTier, ...]:
        tiers: dict[int, ContextTier] = {}
        for i, value in enumerate(self.sequence("context_tiers")):
            path = f"context_tiers[{i}]"
            tier = self.mapping(value, path)
            self.known_keys(tier, frozenset(("above_input_tokens", self.per_million)), path)
            above = tier.get("above_input_tokens")
            if not isinstance(above, int) or isinstance(above, bool) or not 0 < above <= MAX_CONTEXT_TOKENS:
                self.wrong(_join(path, "above_input_tokens"), f"must be an integer from 1 to {MAX_CONTEXT_TOKENS}")
                continue
            if above in tiers:
                self.wrong(_join(path, "above_input_tokens"), f"{above} is already another tier")
            prices = self.class_prices(tier.get(self.per_million), _join(path, self.per_million))
            tiers[above] = ContextTier(above, prices)
        return tuple(tiers[above] for above in sorted(tiers))

    def service_tiers(self) -> dict[str, ServiceTier]:
        tiers: dict[str, ServiceTier] = {}
        for name, value in self.mapping(self.spec.get("service_tiers", {}), "service_tiers").items():
            path = f"service_tiers.{name}"
            tier = self.mapping(value, path)
            self.known_keys(tier, frozenset(("multiplier",)), path)
            if "multiplier" not in tier:
                self.wrong(_join(path, "multiplier"), "is missing")
                continue
            multiplier = self.number(
                tier["multiplier"], _join(path, "multiplier"), lambda n: Fraction(decimal_from(n)), Fraction(1)
            )
            if name == STANDARD and multiplier != 1:
                self.wrong(_join(path, "multiplier"), "standard is what the others are multiples of: 1")
            tiers[str(name)] = ServiceTier(multiplier)
        return tiers

    def period(self) -> tuple[int, int | None]:
        start = self.moment("effective_from")
        end = self.moment("effective_to") if self.spec.get("effective_to") is not None else None
        if start is None:
            return 0, end
        if end is not None and end <= start:
            self.wrong("effective_to", "must be later than effective_from")
        return start, end

    def moment(self, key: str) -> int | None:
        value = self.spec.get(key)
        if value is None:
            self.wrong(key, "is missing")
            return None
        try:
            return micros_from(value)
        except ValueError:
            self.wrong(key, f"must be an RFC 3339 date-time with an offset, is {value!r}")
            return None


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
