"""Dated exchange rates: what a unit of a currency was worth in dollars on a day."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from spendstream.domain.billing.cells import DAY_US

EPOCH_DAY = date(1970, 1, 1)


@dataclass(frozen=True)
class Rate:
    """Dollars for one unit of a currency from `day` on, until the next rate."""

    currency: str
    day: date
    usd: Decimal


@dataclass(frozen=True)
class Rates:
    """Rates by currency in the order of their days; empty: dollars only."""

    by_currency: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, rates: Iterable[Rate]) -> "Rates":
        """All rates of an organisation; of two for the same day the last one given counts."""
        newest = {(rate.currency, rate.day): rate for rate in rates}
        found: dict[str, tuple[Rate, ...]] = {}
        for (currency, _), rate in sorted(newest.items()):
            found[currency] = (*found.get(currency, ()), rate)
        return cls(found)

    def at(self, currency: str, at: int) -> Rate | None:
        """The rate in force at a moment (microseconds); None before the first one."""
        day = EPOCH_DAY + timedelta(days=at // DAY_US)
        rates = self.by_currency.get(currency, ())
        place = bisect_right([rate.day for rate in rates], day)
        return rates[place - 1] if place else None
