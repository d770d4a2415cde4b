"""A `BillingItem` as a row of `billing_items`: checked, in dollars, and with what it means for us."""

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from spendstream.domain.billing import cells
from spendstream.domain.billing.focus import CATEGORIES, COSTS, QUANTITIES
from spendstream.domain.billing.meaning import metered, model_of, owner_tags, provider_id, spend_category
from spendstream.domain.prices.currency import USD

Item = Mapping[str, Any]
TIMES = ("billing_period_start", "billing_period_end", "charge_period_start", "charge_period_end")
SAME = (
    "org", "line_id", "provider_name", *TIMES, "billing_account_id", "billing_account_name", "billing_currency",
    "charge_category", "charge_class", "charge_description", "service_category", "service_name", "publisher_name",
    "invoice_issuer_name", "region_id", "resource_id", "sku_id", "sub_account_id", "source_file", "source_row",
)  # fmt: skip
#: Where a line came from is no part of what it says.
NOT_CONTENT = frozenset(("source_file", "source_row", "imported_at"))
_FRACTION = re.compile(r"-?\d{1,30}(\.\d{1,60}|(\.\d{1,60})?[eE][+-]?\d{1,2})")
NUMBERS = frozenset((*COSTS, *QUANTITIES, "fx_rate"))


class UnusableError(ValueError):
    """The item can never be a row. `reason` is the dead-letter code, the text says what is wrong."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def ledger_row(item: Item, appended_at: int) -> dict[str, Any]:
    """Columns of `billing_items` by name. Times are microseconds, amounts `Decimal`; a line without `imported_at`
    takes the broker's time `appended_at` as its version. `UnusableError` when the line cannot be kept."""
    if not item["provider_name"] or not item["line_id"]:
        raise UnusableError("missing_identity", "provider_name and line_id name a line: neither may be empty")
    if item["charge_category"] not in CATEGORIES:
        raise UnusableError("charge_category", f"{item['charge_category']!r} is none of {', '.join(CATEGORIES)}")
    columns = item["columns"]
    provider = provider_id(item["provider_name"])
    consumed, priced = _quantity(item, "consumed"), _quantity(item, "pricing")
    tokens, requests = _metered(item, consumed, priced)
    texts = f"{item['service_name']} {item['charge_description']}"
    unit = item["consumed_unit"] or item["pricing_unit"]
    return {
        **{name: item[name] for name in SAME},
        **{name: _checked_time(item, name) for name in TIMES},
        **_costs(item),
        "consumed_quantity": consumed,
        "pricing_quantity": priced,
        "consumed_unit": item["consumed_unit"] or "",
        "pricing_unit": item["pricing_unit"] or "",
        "pricing_currency": columns.get("PricingCurrency", ""),
        "pricing_currency_effective_cost": _virtual(columns.get("PricingCurrencyEffectiveCost")),
        "commitment_discount_id": columns.get("CommitmentDiscountId", ""),
        "commitment_discount_status": columns.get("CommitmentDiscountStatus", ""),
        "tags": dict(item["tags"]),
        "columns": dict(columns),
        **owner_tags(item["tags"]),
        "provider": provider,
        "model": model_of(columns),
        "spend_category": spend_category(provider, item["service_category"], texts, unit),
        "billed_tokens": tokens,
        "billed_requests": requests,
        "content": content(item),
        "withdrawn": item["withdrawn"],
        "version": item["imported_at"] if item["imported_at"] is not None else appended_at,
    }


def content(item: Item) -> str:
    """What a line says, 32 hexadecimal digits: equal content imported again is no new version. Times in
    microseconds."""
    said = sorted((name, _said(name, value)) for name, value in item.items() if name not in NOT_CONTENT)
    return hashlib.blake2b(repr(said).encode(), digest_size=16).hexdigest()


def _said(name: str, value: Any) -> Any:
    """1.50, 1.5 and 15E-1 say the same; the order of tags says nothing."""
    if name == "columns":
        return sorted((key, _number(text)) for key, text in value.items())
    if isinstance(value, Mapping):
        return sorted(value.items())
    return _number(value) if name in NUMBERS and value is not None else value


def _number(text: str) -> str:
    """Text that is a number in its shortest form, other text as it is."""
    if not _FRACTION.fullmatch(text):
        return text
    plain = cells.plain(Decimal(text))
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _checked_time(item: Item, name: str) -> int:
    at = int(item[name])
    if not 0 <= at < cells.END_US:
        raise UnusableError("time", f"{name} is not between 1970 and {cells.LAST_YEAR}")
    return at


def _costs(item: Item) -> dict[str, Any]:
    """Each cost in dollars (half-even to a pico-dollar) and as the bill has it; the decimals it is written with."""
    rate, currency = item["fx_rate"], item["billing_currency"]
    if currency != USD and rate is None:
        raise UnusableError("currency", f"an amount in {currency} needs fx_rate, the dollars one unit is worth")
    exact_rate = Decimal(1) if currency == USD else _decimal("fx_rate", rate)
    row: dict[str, Any] = {"fx_rate": cells.quantised(exact_rate, 18), "fx_date": item["fx_date"] or ""}
    scale = 0
    for name in COSTS:
        text = item[name]
        if text is None and name != "billed_cost" and item[f"{name}_pico"] == 0:
            original = None
        else:
            original = Decimal(item[f"{name}_pico"]).scaleb(-12) if text is None else _decimal(name, text)
            scale = max(scale, cells.decimals(original) if text is not None else 12)
        row[name] = cells.quantised(cells.product(original or Decimal(0), exact_rate))
        if abs(row[name]) >= cells.LARGEST:
            raise UnusableError("amount", f"{name}: {row[name]} USD is too large")
        row[f"original_{name}"] = None if original is None else cells.quantised(original, cells.MOST_DECIMALS)
    return {**row, "cost_decimals": scale}


def _quantity(item: Item, kind: str) -> Decimal | None:
    text = item[f"{kind}_quantity"]
    return None if text is None else cells.quantised(_decimal(f"{kind}_quantity", text))


def _virtual(text: str | None) -> Decimal | None:
    """An amount in a virtual currency; a column nobody checked may hold anything."""
    try:
        return None if text is None else cells.quantised(cells.amount(text))
    except ValueError:
        return None


def _metered(item: Item, consumed: Decimal | None, priced: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    """Tokens and requests the line counts, from what was consumed or else what was priced."""
    found: dict[str, Decimal] = {}
    for quantity, unit in ((priced, item["pricing_unit"]), (consumed, item["consumed_unit"])):
        if quantity is not None and (counted := metered(unit, quantity)) is not None:
            found[counted[0]] = cells.quantised(counted[1])
    return found.get("tokens"), found.get("requests")


def _decimal(name: str, text: str) -> Decimal:
    try:
        return cells.amount(text)
    except ValueError as error:
        raise UnusableError("amount", f"{name}: {error}") from None
