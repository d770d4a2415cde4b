"""Rows of a FOCUS 1.0 to 1.4 cost and usage file as `BillingItem` records.

Columns are found by name in any case, with or without blanks and underscores; unknown ones (x_ columns too) are kept as
text under their own name, those without a name are left out. FOCUS 1.3 replaced ProviderName by ServiceProviderName;
files of any version may lack columns. What stands in for one is said in `warnings`, for a cell in `noted`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from spendstream.domain.billing import cells
from spendstream.domain.billing.columns import spelled
from spendstream.domain.billing.identity import Occurrences
from spendstream.domain.money import PICO_PER_USD
from spendstream.domain.prices.currency import USD, FxRates

UNKNOWN_PROVIDER = "unknown"
LARGEST_PICO = 2**63 - 1

COSTS = {
    "billed_cost": "BilledCost",
    "effective_cost": "EffectiveCost",
    "contracted_cost": "ContractedCost",
    "list_cost": "ListCost",
}
TIMES = {
    "billing_period_start": "BillingPeriodStart",
    "billing_period_end": "BillingPeriodEnd",
    "charge_period_start": "ChargePeriodStart",
    "charge_period_end": "ChargePeriodEnd",
}
QUANTITIES = {"pricing_quantity": "PricingQuantity", "consumed_quantity": "ConsumedQuantity"}
UNITS = {"pricing_unit": "PricingUnit", "consumed_unit": "ConsumedUnit"}
TEXTS = {
    "billing_account_id": "BillingAccountId",
    "billing_account_name": "BillingAccountName",
    "charge_class": "ChargeClass",
    "charge_description": "ChargeDescription",
    "service_category": "ServiceCategory",
    "service_name": "ServiceName",
    "publisher_name": "PublisherName",
    "invoice_issuer_name": "InvoiceIssuerName",
    "region_id": "RegionId",
    "resource_id": "ResourceId",
    "sku_id": "SkuId",
    "sub_account_id": "SubAccountId",
}
PROVIDERS = ("ProviderName", "ServiceProviderName", "PublisherName", "InvoiceIssuerName", "HostProviderName")
CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment", "Refund")
#: Columns that have a field of their own; all others travel in `columns`.
OWN = {
    name.lower()
    for name in (
        *COSTS.values(), *TIMES.values(), *QUANTITIES.values(), *UNITS.values(), *TEXTS.values(),
        "ProviderName", "BillingCurrency", "ChargeCategory", "Tags",
    )
}  # fmt: skip


class Problem(NamedTuple):
    """What is wrong with a row, and in which column."""

    column: str
    problem: str


class HeaderError(ValueError):
    """The columns are not those of a FOCUS file."""


@dataclass(frozen=True)
class Origin:
    """Where rows come from, and what the person who imports them says about all of them. `imported_at`: microseconds;
    of two imports of a line the later one wins. `provider`: of lines that name none."""

    org: str
    digest: str
    imported_at: int
    provider: str | None = None
    rates: FxRates = field(default_factory=FxRates)


class FocusReader:
    """Reads rows of one file; `HeaderError` when it cannot be a bill.

    `separator`: what its cells are separated by; between semicolons a comma may be a decimal point, so amounts that
    could be read either way are refused. `noted`: cells that something else was taken for, by row.
    """

    def __init__(
        self, header: Sequence[str], origin: Origin, occurrences: Occurrences, separator: str | None = ","
    ) -> None:
        self._names = [spelled(name) for name in header]
        self._amount = cells.amount_without_decimal_comma if separator == ";" else cells.amount
        self.noted: list[tuple[int, Problem]] = []
        lowered = [name.lower() for name in self._names]
        twice = sorted({name for name in lowered if name and lowered.count(name) > 1})
        if twice:
            raise HeaderError(f"has the column {self._names[lowered.index(twice[0])]!r} twice")
        self._has = set(lowered)
        if "billedcost" not in self._has:
            raise HeaderError("has no column BilledCost: this is not a FOCUS cost and usage file")
        if not self._has & {"chargeperiodstart", "billingperiodstart"}:
            raise HeaderError("has neither ChargePeriodStart nor BillingPeriodStart: a charge needs a time")
        self._origin, self._occurrences = origin, occurrences
        self._lowered = lowered

    @property
    def warnings(self) -> list[str]:
        """What the file lacks, and what is taken instead."""
        found: list[str] = []
        if self._origin.provider is None and not self._has & {name.lower() for name in PROVIDERS}:
            found.append(f"no ProviderName: lines are filed under {UNKNOWN_PROVIDER!r} (--provider gives a name)")
        if "billingcurrency" not in self._has:
            found.append("no BillingCurrency: USD is assumed")
        if "chargecategory" not in self._has:
            found.append("no ChargeCategory: Usage is assumed")
        for name, instead in zip(list(COSTS.values())[1:], list(COSTS.values()), strict=False):
            if name.lower() not in self._has:
                found.append(f"no {name}: {instead} is taken")
        return found

    def read(self, row: int, values: Sequence[str | None]) -> dict[str, Any] | list[Problem]:
        """One row (`row`: its line in the file, from 1) as a `BillingItem` record, or everything wrong with it."""
        if len(values) != len(self._lowered):
            return [Problem("row", f"has {len(values)} cells, the header has {len(self._lowered)}")]
        found = {name: text for name, value in zip(self._lowered, values, strict=True)
                 if (text := cells.known(value)) is not None}  # fmt: skip
        wrong: list[Problem] = []
        item = self._item(row, found, wrong)
        return wrong or item

    def _item(self, row: int, found: Mapping[str, str], wrong: list[Problem]) -> dict[str, Any]:
        category = found.get("chargecategory", "Usage")
        known = {name.lower(): name for name in CATEGORIES}
        if category.lower() not in known:
            wrong.append(Problem("ChargeCategory", f"{category!r} is none of {', '.join(CATEGORIES)}"))
        item: dict[str, Any] = {
            "org": self._origin.org,
            "provider_name": self._provider(found),
            "billing_currency": found.get("billingcurrency", USD).upper(),
            "charge_category": known.get(category.lower(), ""),
            "tags": _try(wrong, "Tags", cells.tags, found["tags"], {}) if "tags" in found else {},
            "columns": self._others(found),
            "source_file": self._origin.digest,
            "source_row": row,
            "imported_at": self._origin.imported_at,
            "withdrawn": False,
            **{field: found.get(column.lower(), "") for field, column in TEXTS.items()},
            **{field: found.get(column.lower()) for field, column in UNITS.items()},
            **self._amounts(found, wrong),
            **self._times(row, found, wrong),
        }
        for name, column in QUANTITIES.items():
            text = found.get(column.lower())
            value = None if text is None else _try(wrong, column, self._amount, text, Decimal(0))
            item[name] = None if value is None else cells.plain(value)
        if not wrong:
            item |= self._rate(item, wrong)
            scope = (item["org"], item["provider_name"], str(item["billing_period_start"]))
            # As moments: a CSV and a Parquet export of one bill spell their times differently.
            period = {f"chargeperiod{end}": str(item[f"charge_period_{end}"]) for end in ("start", "end")}
            item["line_id"] = self._occurrences.line_id(scope, {**found, **period})
        return item

    def _provider(self, found: Mapping[str, str]) -> str:
        named = (found[name.lower()] for name in PROVIDERS if name.lower() in found)
        return next(named, self._origin.provider or UNKNOWN_PROVIDER)

    def _others(self, found: Mapping[str, str]) -> dict[str, str]:
        return {
            name: found[lowered]
            for name, lowered in zip(self._names, self._lowered, strict=True)
            if name and lowered not in OWN and lowered in found
        }

    def _amounts(self, found: Mapping[str, str], wrong: list[Problem]) -> dict[str, Any]:
        """The four costs, exact and in pico-units. A missing column takes the one before it; a NULL cell stays null
        (and counts as nothing), but a line without BilledCost is no line."""
        item: dict[str, Any] = {}
        before: str | None = None
        for name, column in COSTS.items():
            text = found.get(column.lower())
            if text is not None:
                before = cells.plain(_try(wrong, column, self._amount, text, Decimal(0)))
            elif name == "billed_cost":
                wrong.append(Problem(column, "is missing"))
            elif column.lower() in self._has:
                item |= {name: None, f"{name}_pico": 0}
                continue
            item |= {name: before, f"{name}_pico": pico(before or "0")}
        return item

    def _times(self, row: int, found: Mapping[str, str], wrong: list[Problem]) -> dict[str, int]:
        noted: list[Problem] = []
        times = _times(found, wrong, noted)
        for column, problem in noted:
            self.noted.append((row, Problem(column, f"{problem}; the end of the day or month is taken")))
        return times

    def _rate(self, item: Mapping[str, Any], wrong: list[Problem]) -> dict[str, str | None]:
        """The rate of the day the charge began; nothing for dollars."""
        currency = item["billing_currency"]
        if currency == USD:
            return {"fx_rate": None, "fx_date": None}
        rate = self._origin.rates.at(currency, item["charge_period_start"])
        if rate is None:
            hint = "apply an FxRate, then import the file again"
            wrong.append(
                Problem("BillingCurrency", f"no exchange rate for {currency} on the day of the charge: {hint}")
            )
            return {}
        return {"fx_rate": cells.plain(rate.usd_per_unit), "fx_date": rate.day.isoformat()}


def pico(text: str) -> int:
    """Pico-units, half-even, limited to 64 bits (the exact amount travels beside them)."""
    value = int(cells.quantised(Decimal(text)) * PICO_PER_USD)
    return max(-LARGEST_PICO, min(LARGEST_PICO, value))


def _try(wrong: list[Problem], column: str, read: Callable[[str], Any], text: str, instead: Any) -> Any:
    try:
        return read(text)
    except ValueError as error:
        wrong.append(Problem(column, str(error)))
        return instead


def _times(found: Mapping[str, str], wrong: list[Problem], noted: list[Problem]) -> dict[str, int]:
    """Billing and charge period in microseconds. A missing billing period is the charge's month, a missing charge
    period the billing period; a missing end is the start's own day or month. So is an end that is no time: it is no
    reason to leave the money out, and goes to `noted`."""
    starts = [name for name in TIMES if name.endswith("start")]
    read = {
        name: _try(wrong if name in starts else noted, TIMES[name], cells.moment, found[TIMES[name].lower()], None)
        for name in TIMES
        if TIMES[name].lower() in found
    }
    read = {name: at for name, at in read.items() if at is not None or name in starts}
    if wrong:
        return {}
    start = read.get("charge_period_start", read.get("billing_period_start"))
    if start is None:
        wrong.append(Problem("ChargePeriodStart", "is missing"))
        return {}
    month = cells.month_of(start)
    period = read.get("billing_period_start", month[0])
    times = {
        "billing_period_start": period,
        "billing_period_end": read.get("billing_period_end", cells.month_of(period)[1]),
        "charge_period_start": start,
    }
    if "charge_period_start" in read:
        times["charge_period_end"] = read.get("charge_period_end", cells.day_of(start)[1])
    else:
        times["charge_period_end"] = read.get("charge_period_end", times["billing_period_end"])
    for kind, column in (("billing", "BillingPeriodEnd"), ("charge", "ChargePeriodEnd")):
        if times[f"{kind}_period_end"] < times[f"{kind}_period_start"]:
            wrong.append(Problem(column, "is before its start"))
    return times
