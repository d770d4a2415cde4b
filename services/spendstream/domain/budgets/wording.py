"""What a person on call reads: sentences about money and windows. Text only; nothing is computed from it."""

from collections.abc import Iterable, Mapping
from typing import Final
from zoneinfo import ZoneInfo

from spendstream.domain.budgets.model import Budget, BurnSignal, Level
from spendstream.domain.budgets.windows import HOUR, MINUTE, local_time
from spendstream.domain.wording import usd

# Not strftime's: those follow the locale.
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

_ENFORCED: Final = {
    "warn": "Callers are warned.",
    "downgrade": "Callers are routed to {fallback}.",
    "throttle": "Callers are throttled.",
    "block_non_critical": "Calls that are not critical are blocked{instead}.",
    "block": "All calls but the exempt ones are blocked{instead}.",
}

RUNBOOK: Final = (
    "1. Look at what drove the spend below and at `spendstream budgets status`. "
    "2. Expected? Raise the amount (`spendstream apply`) or ask for an exception. "
    "3. Not expected? Cap or stop the caller, or move it to a cheaper model; open recommendations show where."
)


def percent(part: int, whole: int) -> str:
    """`82 %`, rounded down: 99.9 % must not read as the whole."""
    return f"{part * 100 // whole} %"


def subject(budget: Budget) -> str:
    """Who spends: the scope's values."""
    return " / ".join(value for _, value in budget.scope) or f"the whole organisation {budget.org}"


def window_text(budget: Budget, start: int) -> str:
    """`in the hour from 14:00 UTC`, `on 3 March 2026 (Europe/Berlin)`, `in March 2026`, `in the last 6 hours`."""
    if budget.window.is_rolling:
        hours = budget.window.rolling_hours
        return "in the last hour" if hours == 1 else f"in the last {hours} hours"
    local = local_time(start, ZoneInfo(budget.timezone))
    zone = "" if budget.timezone == "UTC" else f" ({budget.timezone})"
    day = f"{local.day} {_MONTHS[local.month - 1]} {local.year}"
    return {
        "hour": f"in the hour from {local:%H:%M} {local:%Z}",
        "day": f"on {day}{zone}",
        "week": f"in the week from {day}{zone}",
        "month": f"in {_MONTHS[local.month - 1]} {local.year}{zone}",
    }[budget.window.kind]


def level_title(budget: Budget, start: int, spent: int, level: Level) -> str:
    """`search had spent $412.10 of $500.00 (82 %) in the hour from 14:00 UTC when it reached 80 % (warning)`.

    In the past tense: the title stays while the spend goes on.
    """
    amount = budget.amount_pico_usd
    part = f"{usd(spent)} of {usd(amount)} ({percent(spent, amount)})"
    return f"{subject(budget)} had spent {part} {window_text(budget, start)} when it reached {level_text(level)}"


def level_text(level: Level) -> str:
    """`80 % (warning)`, `82.5 % (action)`."""
    return f"{percentage(level)} ({level.severity})"


def percentage(level: Level) -> str:
    """`80 %`, `82.5 %`."""
    number = f"{level.at * 100:f}"
    return (number.rstrip("0").rstrip(".") if "." in number else number) + " %"


def forecast_title(budget: Budget, start: int, projected: int) -> str:
    amount = budget.amount_pico_usd
    part = f"{usd(projected)} of {usd(amount)} ({percent(projected, amount)})"
    return f"{subject(budget)} is heading for {part} {window_text(budget, start)}"


def burn_title(budget: Budget, rate: float, signal: BurnSignal) -> str:
    return (
        f"{subject(budget)} is spending {rate:.1f} times as fast as its budget of {usd(budget.amount_pico_usd)} allows"
        f", over the last {span_text(signal.long)} and the last {span_text(signal.short)}"
    )


def span_text(span: int) -> str:
    minutes = span // MINUTE
    if span % HOUR:
        return f"{minutes} minutes"
    return "hour" if span == HOUR else f"{span // HOUR} hours"


def level_description(budget: Budget, level: Level, drivers: str) -> str:
    """Level, consequence and what drove the spend."""
    enforced = _ENFORCED.get(level.enforce, "")
    instead = f"; {budget.fallback_model} is the fallback" if budget.fallback_model else ""
    consequence = enforced.format(fallback=budget.fallback_model, instead=instead)
    reached = f"Budget {budget.name} reached {level_text(level)}."
    return " ".join(part for part in (reached, consequence, drivers) if part)


def drivers(by_model: Mapping[str, int], by_service: Mapping[str, int]) -> str:
    """`Top models: a $3.00 (60 %), b $2.00 (40 %). Top services: ...` of spend per name."""
    return " ".join(
        f"Top {what}: {text}."
        for what, spend in (("models", by_model), ("services", by_service))
        if (text := ", ".join(_top(spend)))
    )


def _top(spend: Mapping[str, int], count: int = 3) -> Iterable[str]:
    whole = sum(spend.values())
    ranked = sorted(spend.items(), key=lambda item: (-item[1], item[0]))[:count]
    return (f"{name or 'unknown'} {usd(pico)} ({percent(pico, whole)})" for name, pico in ranked if pico > 0)
