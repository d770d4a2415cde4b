"""A line that a complete bill no longer has: a new version of it that costs nothing, so that its history keeps both."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from spendstream.domain.billing.focus import COSTS, QUANTITIES, TEXTS, UNITS
from spendstream.domain.prices.currency import USD

TIMES: Final = ("billing_period_start", "billing_period_end", "charge_period_start", "charge_period_end")
#: What a withdrawal needs of the line as it stands; times in microseconds.
NEEDED: Final = (
    "org", "provider_name", "line_id", *TIMES, *TEXTS, "billing_currency", "fx_rate", "fx_date", "charge_category",
    "tags", "columns",
)  # fmt: skip


def withdrawn(line: Mapping[str, Any], digest: str, imported_at: int) -> dict[str, Any]:
    """The `BillingItem` that withdraws a line. `digest`: of the file that no longer has it; `imported_at`:
    microseconds."""
    in_usd = line["billing_currency"] == USD
    rate: Decimal = line["fx_rate"]
    return {
        **{name: line[name] for name in NEEDED},
        **dict.fromkeys(COSTS, "0"),
        **{f"{name}_pico": 0 for name in COSTS},
        **dict.fromkeys((*QUANTITIES, *UNITS)),
        "fx_rate": None if in_usd else format(rate, "f"),
        "fx_date": None if in_usd else line["fx_date"],
        "source_file": digest,
        "source_row": 0,
        "imported_at": imported_at,
        "withdrawn": True,
    }
