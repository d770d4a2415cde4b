"""`Budget` documents: what an operator declares, checked field by field. The form is in `examples/budgets.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

from spendstream.domain.alerts import SEVERITIES, rank
from spendstream.domain.budgets.model import (
    ACTIONS,
    BURN_SEVERITY,
    CALLER_DIMENSIONS,
    DIMENSIONS,
    Budget,
    BurnSignal,
    Level,
    default_ladder,
)
from spendstream.domain.budgets.windows import CALENDAR_WINDOWS, DAY, HOUR, MAX_ROLLING_HOURS, Window, parse_duration
from spendstream.domain.money import MAX_PICO_USD, decimal_from, pico_from_usd

Errors = list[tuple[str, str]]

RESERVED_SUFFIXES: Final = ("/forecast", "/burn-rate")
MAX_BURN_LONG: Final = 7 * DAY
MAX_BURN_SHORT: Final = 6 * HOUR
_REQUIRED: Final = ("scope", "window", "amount_usd")
_OPTIONAL: Final = ("timezone", "ladder", "forecast_alert_at", "burn_rate", "fallback_model", "exempt")
_KEYS: Final = frozenset((*_REQUIRED, *_OPTIONAL))


def parse_budget(org: str, name: str, spec: Mapping[str, Any]) -> tuple[Budget | None, Errors]:
    """The budget that `spec` declares, or None and every (path, what is wrong). Numbers: Decimal, str or int."""
    reader = _Reader(spec)
    fallback_model = reader.text("fallback_model")
    budget = Budget(
        org=org,
        name=reader.name(name),
        scope=reader.scope(org),
        window=reader.window(),
        timezone=reader.timezone(),
        amount_pico_usd=reader.amount(),
        ladder=reader.ladder(fallback_model),
        forecast_alert_at=reader.share("forecast_alert_at"),
        burn_rate=reader.burn_rate(),
        fallback_model=fallback_model,
        exempt=reader.exempt(),
    )
    return (None, reader.errors) if reader.errors else (budget, [])


@dataclass(slots=True)
class _Reader:
    """Reads one spec; complaints gather in `errors`, so that one run shows them all."""

    spec: Mapping[str, Any]
    errors: Errors = field(default_factory=list)

    def __post_init__(self) -> None:
        self._known_keys(self.spec, _KEYS, "")

    def name(self, name: str) -> str:
        if not name or name.endswith(RESERVED_SUFFIXES):
            self._wrong("name", "must not be empty or end in " + " or ".join(RESERVED_SUFFIXES))
        return name

    def scope(self, org: str) -> tuple[tuple[str, str], ...]:
        scope = self._mapping("scope", required=True)
        for key, value in scope.items():
            if key in CALLER_DIMENSIONS:
                self._wrong(f"scope.{key}", "budgets by user or API key are not supported yet")
            elif key not in DIMENSIONS:
                self._wrong(f"scope.{key}", "is not a dimension; known: " + ", ".join(DIMENSIONS))
            elif not isinstance(value, str) or not value:
                self._wrong(f"scope.{key}", "must be text")
            elif key == "org" and value != org:
                self._wrong("scope.org", f"is {value!r}, but the document belongs to {org!r}")
        return tuple((key, scope[key]) for key in DIMENSIONS[1:] if key in scope)

    def window(self) -> Window:
        value = self.spec.get("window")
        if isinstance(value, str) and value in ("request", *CALENDAR_WINDOWS):
            return Window(value)
        if isinstance(value, Mapping) and set(value) == {"rolling_hours"}:
            hours = value["rolling_hours"]
            if isinstance(hours, int) and not isinstance(hours, bool) and 1 <= hours <= MAX_ROLLING_HOURS:
                return Window("rolling", hours)
            self._wrong("window.rolling_hours", f"must be a whole number from 1 to {MAX_ROLLING_HOURS}")
        else:
            self._wrong("window", f"must be request, {', '.join(CALENDAR_WINDOWS)} or {{rolling_hours: N}}")
        return Window("month")

    def timezone(self) -> str:
        value = self.spec.get("timezone", "UTC")
        try:
            ZoneInfo(value)
        except (OSError, ValueError, TypeError, KeyError):
            self._wrong("timezone", f"{value!r} is not an IANA time zone such as Europe/Berlin")
            return "UTC"
        return str(value)

    def amount(self) -> int:
        if "amount_usd" not in self.spec:
            self._wrong("amount_usd", "is missing")
            return 1
        try:
            pico = pico_from_usd(self.spec["amount_usd"])
        except ValueError as error:
            self._wrong("amount_usd", str(error))
            return 1
        if not 0 < pico <= MAX_PICO_USD:
            self._wrong("amount_usd", f"must be above 0 and at most {MAX_PICO_USD // 10**12} USD")
        return pico

    def ladder(self, fallback_model: str | None) -> tuple[Level, ...]:
        if "ladder" not in self.spec:
            return default_ladder(fallback_model)
        rungs = self.spec["ladder"]
        if not isinstance(rungs, list | tuple) or not rungs:
            self._wrong("ladder", "must be a list of {at, level, enforce}")
            return ()
        levels = tuple(self._level(rung, f"ladder[{i}]", fallback_model) for i, rung in enumerate(rungs))
        for i, (lower, upper) in enumerate(pairwise(levels), 1):
            if upper.at <= lower.at:
                self._wrong(f"ladder[{i}].at", "must be above the level before it")
            if rank(upper.severity) < rank(lower.severity):
                self._wrong(f"ladder[{i}].level", f"is less urgent than the {lower.severity} before it")
        return levels

    def _level(self, rung: Any, path: str, fallback_model: str | None) -> Level:
        if not isinstance(rung, Mapping):
            self._wrong(path, "must be {at, level, enforce}")
            return Level(Decimal(1), SEVERITIES[0])
        self._known_keys(rung, frozenset(("at", "level", "enforce")), path)
        severity, enforce = rung.get("level"), rung.get("enforce", "allow")
        if severity not in SEVERITIES:
            self._wrong(f"{path}.level", "must be one of " + ", ".join(SEVERITIES))
            severity = SEVERITIES[0]
        if enforce not in ACTIONS:
            self._wrong(f"{path}.enforce", "must be one of " + ", ".join(ACTIONS))
        elif enforce == "downgrade" and fallback_model is None:
            self._wrong(f"{path}.enforce", "downgrade needs a fallback_model")
        return Level(self._positive(rung.get("at"), f"{path}.at"), severity, str(enforce))

    def share(self, key: str) -> Decimal | None:
        return None if self.spec.get(key) is None else self._positive(self.spec[key], key)

    def burn_rate(self) -> tuple[BurnSignal, ...]:
        signals = self._mapping("burn_rate")
        self._known_keys(signals, frozenset(BURN_SEVERITY), "burn_rate")
        return tuple(self._burn_signal(name, signals[name]) for name in BURN_SEVERITY if name in signals)

    def _burn_signal(self, name: str, spec: Any) -> BurnSignal:
        path = f"burn_rate.{name}"
        if not isinstance(spec, Mapping) or set(spec) != {"rate", "long", "short"}:
            self._wrong(path, "must be {rate, long, short}")
            return BurnSignal(name, Decimal(1), 0, 0)
        rate = self._positive(spec["rate"], f"{path}.rate")
        long, short = (self._duration(spec[key], f"{path}.{key}") for key in ("long", "short"))
        if not 0 < short < long:
            self._wrong(f"{path}.short", "must be shorter than long")
        if long > MAX_BURN_LONG or short > MAX_BURN_SHORT:
            self._wrong(path, "long is at most 7d, short at most 6h")
        return BurnSignal(name, rate, long, short)

    def exempt(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        exempt = self._mapping("exempt")
        for key, values in exempt.items():
            if key not in DIMENSIONS[1:]:
                self._wrong(f"exempt.{key}", "is not a dimension; known: " + ", ".join(DIMENSIONS[1:]))
            elif not isinstance(values, list | tuple) or not all(
                isinstance(v, str) and v and "," not in v for v in values
            ):
                self._wrong(f"exempt.{key}", "must be a list of names without commas")
        if self.errors:
            return ()
        return tuple((key, tuple(sorted(set(exempt[key])))) for key in DIMENSIONS if key in exempt)

    def text(self, key: str) -> str | None:
        value = self.spec.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        self._wrong(key, "must be text")
        return None

    def _mapping(self, key: str, required: bool = False) -> Mapping[str, Any]:
        value = self.spec.get(key)
        if isinstance(value, Mapping):
            return value
        if value is not None or required:
            self._wrong(
                key, "must be a mapping" if value is not None else "is missing; {} means the whole organisation"
            )
        return {}

    def _positive(self, value: Any, path: str) -> Decimal:
        try:
            number = decimal_from(value)
        except ValueError as error:
            self._wrong(path, str(error))
            return Decimal(1)
        if not 0 < number <= 1000:
            self._wrong(path, "must be above 0 and at most 1000; 0.80 means 80 %")
        return number

    def _duration(self, value: Any, path: str) -> int:
        try:
            return parse_duration(value if isinstance(value, str) else str(value))
        except ValueError as error:
            self._wrong(path, str(error))
            return 0

    def _known_keys(self, mapping: Mapping[str, Any], known: frozenset[str], path: str) -> None:
        for key in mapping:
            if key not in known:
                self._wrong(
                    f"{path}.{key}" if path else str(key), "is not known here; known: " + ", ".join(sorted(known))
                )

    def _wrong(self, path: str, message: str) -> None:
        self.errors.append((path, message))
