"""What a budget is, once its document has been read."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from spendstream.domain.budgets.windows import MINUTE, Window
from spendstream.domain.money import usd_from_pico

# Owner-grain dimensions in canonical order; `org` is on every budget, named in its scope or not.
DIMENSIONS: Final = ("org", "team", "project", "environment", "cost_center", "service", "provider", "model")
CALLER_DIMENSIONS: Final = ("user", "api_key")
ACTIONS: Final = ("allow", "warn", "downgrade", "throttle", "block_non_critical", "block")

# Alert and EnforcementState carry money as int64 pico-dollars; a larger amount could not be told to anyone.

BURN_SEVERITY: Final = {"page": "page", "ticket": "warning"}
_DEFAULT_LADDER: Final = (
    ("0.70", "notice", "allow"),
    ("0.80", "warning", "allow"),
    ("0.90", "action", "downgrade"),
    ("1.00", "critical", "block_non_critical"),
    ("1.10", "page", "block"),
)


@dataclass(frozen=True, slots=True)
class Level:
    """One rung: reached when spend ≥ `at` x amount; from then on `enforce` is in force."""

    at: Decimal
    severity: str
    enforce: str = "allow"


@dataclass(frozen=True, slots=True)
class BurnSignal:
    """Fires while spend runs at `rate` times the even pace over both windows (microseconds)."""

    name: str
    rate: Decimal
    long: int
    short: int

    @property
    def severity(self) -> str:
        return BURN_SEVERITY[self.name]


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount for a scope (without org) and a window. `scope` and `exempt` are in canonical dimension order."""

    org: str
    name: str
    scope: tuple[tuple[str, str], ...]
    window: Window
    timezone: str
    amount_pico_usd: int
    ladder: tuple[Level, ...]
    forecast_alert_at: Decimal | None = None
    burn_rate: tuple[BurnSignal, ...] = ()
    fallback_model: str | None = None
    exempt: tuple[tuple[str, tuple[str, ...]], ...] = ()


def default_ladder(fallback_model: str | None) -> tuple[Level, ...]:
    """70 notice, 80 warning, 90 action, 100 critical, 110 page; only a budget with a fallback model downgrades."""
    return tuple(
        Level(Decimal(at), severity, "allow" if enforce == "downgrade" and fallback_model is None else enforce)
        for at, severity, enforce in _DEFAULT_LADDER
    )


def as_spec(budget: Budget) -> dict[str, Any]:
    """The spec that `parse_budget` reads back to an equal budget; decimals as strings, fit for JSON."""
    window = budget.window
    spec: dict[str, Any] = {
        "scope": dict(budget.scope),
        "window": {"rolling_hours": window.rolling_hours} if window.is_rolling else window.kind,
        "timezone": budget.timezone,
        "amount_usd": str(usd_from_pico(budget.amount_pico_usd)),
        "ladder": [{"at": str(rung.at), "level": rung.severity, "enforce": rung.enforce} for rung in budget.ladder],
        "forecast_alert_at": None if budget.forecast_alert_at is None else str(budget.forecast_alert_at),
        "burn_rate": {
            signal.name: {
                "rate": str(signal.rate),
                "long": f"{signal.long // MINUTE}m",
                "short": f"{signal.short // MINUTE}m",
            }
            for signal in budget.burn_rate
        },
        "fallback_model": budget.fallback_model,
        "exempt": {key: list(values) for key, values in budget.exempt},
    }
    return spec
