"""`Price` documents as exact rates: the truth's own reading of them (see `pricing`)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

PICO = 10**12
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CLASSES = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output",
    "reasoning", "audio_input", "audio_output", "image_input",
)  # fmt: skip
FALLBACKS = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "reasoning": "output",
}
PRICE_FIELDS = frozenset({
    "provider", "model", "aliases", "region", "effective_from", "effective_to", "usd_per_million_tokens",
    "context_tiers", "service_tiers", "usd_per_request", "discount", "margin",
})  # fmt: skip

Key = tuple[str, str, str | None]  # provider, model or alias, region


class PriceFileError(ValueError):
    """A price document cannot be read; the text says which document, field and what is wrong."""


@dataclass(frozen=True)
class Rates:
    """Pico-dollars per token by class for requests whose input exceeds `above` (None: no such price), and the fee."""

    above: int
    per_token: tuple[int | None, ...]


@dataclass(frozen=True)
class Version:
    """One `Price` document of one model; moments in microseconds, `end` None: until the next one."""

    model: str
    start: int
    end: int | None
    rates: tuple[Rates, ...]  # ascending thresholds, the first is the base
    per_request: int
    factors: Mapping[str, Fraction]  # service tier → multiplier × (1 − discount) × (1 + margin)


def read_documents(documents: Iterable[Mapping[str, Any]], source: str) -> dict[Key, list[Version]]:
    """The versions of each model, in order of time; documents that are no token price are passed over."""
    newest: dict[tuple[Key, int], Version] = {}
    for number, document in enumerate(documents, start=1):
        spec = document.get("spec") or {}
        if document.get("kind") == "Price" and "gpu" not in spec:
            where = f"{source}: document {number} ({document.get('name', '?')})"
            for key, version in _read_document(spec, where):
                newest[key, version.start] = version  # a later revision replaces the earlier
    found: dict[Key, list[Version]] = {}
    for (key, _), version in sorted(newest.items(), key=lambda item: item[0][1]):
        found.setdefault(key, []).append(version)
    return found


def load_documents(path: Path) -> list[dict[str, Any]]:
    """Control documents of a file; numbers with a point come as Decimal. Raises `PriceFileError`."""
    try:
        return [document for document in yaml.load_all(path.read_text(), _DecimalLoader) if document]
    except (OSError, yaml.YAMLError) as error:
        raise PriceFileError(f"{path}: {error}") from error


def half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded half to even; the denominator is positive."""
    whole, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and whole % 2):
        return whole + 1
    return whole


class _DecimalLoader(yaml.SafeLoader):
    """YAML whose numbers with a point are Decimals: a float would have lost the price's digits."""


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(str(loader.construct_scalar(node)).replace("_", ""))


_DecimalLoader.add_constructor("tag:yaml.org,2002:float", _decimal)


def _read_document(spec: Mapping[str, Any], where: str) -> list[tuple[Key, Version]]:
    unknown = set(spec) - PRICE_FIELDS
    if unknown:
        raise PriceFileError(f"{where}: {', '.join(sorted(unknown))}: the truth does not know this field")
    try:
        base = dict(spec.get("usd_per_million_tokens") or {})
        tiers = sorted(spec.get("context_tiers") or [], key=lambda t: t["above_input_tokens"])
        rates = (
            Rates(-1, _row(base)),
            *(Rates(t["above_input_tokens"], _row({**base, **t["usd_per_million_tokens"]})) for t in tiers),
        )
        after_list = (1 - _fraction(spec.get("discount", 0))) * (1 + _fraction(spec.get("margin", 0)))
        multipliers = {"standard": {"multiplier": 1}, **(spec.get("service_tiers") or {})}
        version = Version(
            model=spec["model"],
            start=_micros(spec["effective_from"]),
            end=_micros(spec["effective_to"]) if spec.get("effective_to") else None,
            rates=rates,
            per_request=_pico(spec.get("usd_per_request", 0), 1),
            factors={name: _fraction(t["multiplier"]) * after_list for name, t in multipliers.items()},
        )
        models = [spec["model"], *spec.get("aliases", [])]
        return [((spec["provider"], model, spec.get("region")), version) for model in models]
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise PriceFileError(f"{where}: {type(error).__name__}: {error}") from error


def _row(usd_per_million: Mapping[str, Any]) -> tuple[int | None, ...]:
    """Pico per token by class, the fallbacks taken (domain.md §3)."""
    own = {name: _pico(usd, 1_000_000) for name, usd in usd_per_million.items()}
    if unknown := set(own) - set(CLASSES):
        raise ValueError(f"unknown token class {', '.join(sorted(unknown))}")
    for name, other in FALLBACKS.items():
        if name not in own and other in own:
            own[name] = own[other]
    return tuple(own.get(name) for name in CLASSES)


def _pico(usd: Any, per: int) -> int:
    exact = _fraction(usd) * PICO / per
    return half_even(exact.numerator, exact.denominator)


def _fraction(number: Any) -> Fraction:
    if isinstance(number, float):
        raise TypeError(f"{number} is a float; money needs exact numbers")
    return Fraction(str(number)) if not isinstance(number, Fraction) else number


def _micros(moment: Any) -> int:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.tzinfo is None:  # PyYAML hands out `...Z` with an offset; a bare local time is no moment
        raise ValueError(f"{moment}: needs an offset, for example Z")
    return int((moment - EPOCH) // MICROSECOND)
