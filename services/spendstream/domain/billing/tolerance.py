"""When invoice and estimate differ by more than somebody said they may: one alert a provider and month.

    kind: Policy
    name: invoices
    spec: {kind: reconciliation, tolerance: 0.02, provider: openai, minimum_usd: 1, ignore: [commitment_or_discount]}

Judged is the variance of a month without what is rounding, late, or ignored, as a share of the invoice. Without a
policy 2 % are allowed. A policy that names the provider goes before one that does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from spendstream.domain import wording
from spendstream.domain.alerts import fingerprint
from spendstream.domain.billing.cells import month_of
from spendstream.domain.billing.reconciliation import CLASSES, Variance
from spendstream.domain.money import decimal_from, on_wire, quantise_usd

NAME: Final = "reconciliation"
NEVER_JUDGED: Final = ("rounding", "late")
#: From this multiple of the tolerance on, somebody should act.
SERIOUS: Final = 5
_FIELDS: Final = ("kind", "tolerance", "provider", "minimum_usd", "ignore")


@dataclass(frozen=True)
class Tolerance:
    """What a provider's month may differ by: a share of the invoice, and an amount that is never worth an alert."""

    share: Decimal = Decimal("0.02")
    minimum_pico: int = 10**10
    provider: str | None = None
    ignore: frozenset[str] = frozenset()
    name: str = "default"


@dataclass
class Month:
    """Both sides of a provider's month, pico-dollars; `start` in microseconds. Only cells the bill reaches count."""

    org: str
    provider: str
    start: int
    estimate: int = 0
    invoice: int = 0
    amounts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))

    def add(self, estimate: int, invoice: int, variance: Variance) -> None:
        """Take a cell in."""
        self.estimate += estimate
        self.invoice += invoice
        for name in CLASSES:
            self.amounts[name] += getattr(variance, name)

    def judged(self, tolerance: Tolerance) -> int:
        """The variance that counts, signed."""
        return sum(
            amount for name, amount in self.amounts.items() if name not in NEVER_JUDGED and name not in tolerance.ignore
        )


def parse_tolerance(name: str, spec: Mapping[str, Any]) -> tuple[Tolerance | None, list[tuple[str, str]]]:
    """A `Policy` of kind `reconciliation`, or the list of (path, what is wrong)."""
    wrong = [(str(key), f"is not a field here; known: {', '.join(_FIELDS)}") for key in spec if key not in _FIELDS]
    share = _number(spec, "tolerance", Decimal("0.02"), wrong)
    minimum = _number(spec, "minimum_usd", Decimal("0.01"), wrong)
    if not 0 <= share <= 1:
        wrong.append(("tolerance", "must be a share from 0 to 1: 0.02 is two percent"))
    if minimum < 0:
        wrong.append(("minimum_usd", "must not be negative"))
    provider, ignore = spec.get("provider"), spec.get("ignore", [])
    if provider is not None and (not isinstance(provider, str) or not provider):
        wrong.append(("provider", "must be a provider as usage names it, for example openai"))
    if not isinstance(ignore, list) or any(each not in CLASSES for each in ignore):
        wrong.append(("ignore", f"must be a list of {', '.join(CLASSES)}"))
    if wrong:
        return None, wrong
    return Tolerance(share, quantise_usd(minimum)[0], provider, frozenset(ignore), name), []


def _number(spec: Mapping[str, Any], name: str, default: Decimal, wrong: list[tuple[str, str]]) -> Decimal:
    try:
        return decimal_from(spec.get(name, default))
    except ValueError as error:
        wrong.append((name, str(error)))
        return default


def tolerance_for(provider: str, tolerances: Iterable[Tolerance]) -> Tolerance:
    """The one that names the provider, else one that names none, else the default; by name among equals."""
    fitting = sorted(
        (t for t in tolerances if t.provider in (None, provider)), key=lambda t: (t.provider is None, t.name)
    )
    return fitting[0] if fitting else Tolerance()


def alert_id(month: Month) -> str:
    """Stable identity of the alert about a provider's month."""
    return fingerprint("governance", NAME, {"org": month.org, "provider": month.provider}, month.start)


def beyond(month: Month, tolerance: Tolerance) -> bool:
    """Whether the month differs by more than it may."""
    judged = abs(month.judged(tolerance))
    return judged >= max(1, tolerance.minimum_pico) and judged > tolerance.share * abs(month.invoice)


def alert(month: Month, tolerance: Tolerance, now: int) -> dict[str, Any]:
    """Alert record of a month that is beyond its tolerance, as `AlertBook.fire` takes it."""
    judged = month.judged(tolerance)
    serious = abs(judged) > SERIOUS * tolerance.share * abs(month.invoice)
    start, end = month_of(month.start)
    label = wording.clock(start // 60_000_000)[:7]
    more = "more" if judged > 0 else "less"
    share = "" if not month.invoice else f" ({abs(judged) / abs(month.invoice):.1%})"
    return {
        "alert_id": alert_id(month),
        "org": month.org,
        "kind": "governance",
        "name": NAME,
        "severity": "action" if serious else "warning",
        "scope": {"org": month.org, "provider": month.provider},
        "title": f"{month.provider} invoiced {wording.usd(abs(judged))}{share} {more} for {label} than usage explains",
        "description": f"Invoice {wording.usd(month.invoice)}, estimate {wording.usd(month.estimate)},"
        f" allowed {tolerance.share:.1%} (policy {tolerance.name}).",
        "root_cause": ", ".join(_causes(month, tolerance)),
        "runbook": f"spendstream report reconciliation --period {label}",
        "started_at": start,
        "updated_at": now,
        "window_start": start,
        "window_end": end,
        "observed_pico_usd": on_wire(month.invoice),
        "expected_pico_usd": on_wire(month.estimate),
        "at_stake_pico_usd": on_wire(abs(judged)),
    }


def _causes(month: Month, tolerance: Tolerance) -> Sequence[str]:
    """The classes that count, the largest first."""
    counted = [(name, amount) for name, amount in month.amounts.items()
               if amount and name not in NEVER_JUDGED and name not in tolerance.ignore]  # fmt: skip
    return [f"{name} {wording.usd(amount)}" for name, amount in sorted(counted, key=lambda each: -abs(each[1]))]
