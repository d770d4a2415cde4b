"""Prices in other currencies: a dated rate table (domain.md §1).

A rate stands from its date (midnight UTC) until the currency's next one. An event takes the rate in force when it
occurred; the rate multiplies the exact sum before the one rounding, and its date and value stand in the price id.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from spendstream.domain.money import decimal_from

USD: Final = "USD"
MAX_USD_PER_UNIT: Final = 1_000_000
_CODE: Final = re.compile(r"[A-Z]{3}")
_LABEL: Final = re.compile(r"[A-Z]{3}@\d{4}-\d\d-\d\d=(\S+)")
_KEYS: Final = ("currency", "date", "usd_per_unit")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FxRate:
    """One unit of `currency` is `usd_per_unit` dollars from `day` on."""

    currency: str
    day: date
    usd_per_unit: Decimal

    @property
    def start(self) -> int:
        """Midnight UTC of its day, microseconds since the epoch."""
        return (datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)

    @property
    def label(self) -> str:
        """`EUR@2026-11-01=1.0832`: what a row says about its conversion."""
        return f"{self.currency}@{self.day.isoformat()}={self.usd_per_unit}"


class FxRates:
    """All rates of an organisation. Of two for one currency and day the later in the order given stands."""

    def __init__(self, rates: Iterable[FxRate] = ()) -> None:
        newest = {(rate.currency, rate.start): rate for rate in rates}
        self._rates: dict[str, list[FxRate]] = {}
        for (currency, _), rate in sorted(newest.items()):
            self._rates.setdefault(currency, []).append(rate)

    def at(self, currency: str, moment: int) -> FxRate | None:
        """The rate in force at `moment` (microseconds); None before the first one."""
        rates = self._rates.get(currency, [])
        i = bisect_right(rates, moment, key=lambda rate: rate.start) - 1
        return rates[i] if i >= 0 else None

    def factor(self, currency: str, moment: int) -> Fraction | None:
        """Dollars of one unit at `moment`, exactly; None where no rate is known."""
        if currency == USD:
            return Fraction(1)
        rate = self.at(currency, moment)
        return None if rate is None else Fraction(rate.usd_per_unit)

    def starts(self, currency: str) -> list[int]:
        """Moments at which the rate of a currency changes."""
        return [rate.start for rate in self._rates.get(currency, [])]


def split_label(price_id: str) -> tuple[str, Fraction]:
    """A price id without the label of its exchange rate, and that rate (1 where there is none)."""
    plain, _, label = price_id.rpartition(" ")
    found = _LABEL.fullmatch(label)
    return (plain, Fraction(found[1])) if found else (price_id, Fraction(1))


def currency_code(value: object) -> str | None:
    """An ISO 4217 code as it is written, or None for what cannot be one."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def parse_fx_rate(spec: Mapping[str, object]) -> tuple[FxRate | None, list[tuple[str, str]]]:
    """An `FxRate` document, or the list of (path, what is wrong)."""
    wrong = [(str(key), f"is not a field here; known: {', '.join(_KEYS)}") for key in spec if key not in _KEYS]
    wrong += [(key, "is missing") for key in _KEYS if spec.get(key) is None]
    if wrong:
        return None, wrong
    code, day, rate = currency_code(spec["currency"]), _day(spec["date"]), _rate(spec["usd_per_unit"])
    if code is None or code == USD:
        wrong.append(("currency", f"must be a currency code other than {USD}, such as EUR"))
    if day is None:
        wrong.append(("date", "must be a date such as 2026-11-01 (it holds from midnight UTC)"))
    if rate is None:
        wrong.append(("usd_per_unit", f"must be a number above 0 and at most {MAX_USD_PER_UNIT}"))
    return (None, wrong) if code is None or day is None or rate is None or wrong else (FxRate(code, day, rate), [])


def _day(value: object) -> date | None:
    if isinstance(value, datetime):
        return None
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _rate(value: object) -> Decimal | None:
    try:
        rate = decimal_from(value)  # type: ignore[arg-type]  # it refuses what is no number
    except ValueError:
        return None
    return rate if 0 < rate <= MAX_USD_PER_UNIT else None
