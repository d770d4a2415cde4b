"""The FOCUS 1.2 export: v_focus row by row, or summed to hours or days, as CSV or Parquet."""

from collections.abc import Iterator
from typing import Literal

from spendstream.domain.periods import Period
from spendstream.operations.reports.selection import Selection
from spendstream.operations.store import Store

FocusGrain = Literal["charge", "hour", "day"]
FocusFormat = Literal["csv", "parquet"]
_SUMS = (
    "BilledCost",
    "EffectiveCost",
    "PricingCurrencyEffectiveCost",
    "ListCost",
    "ContractedCost",
    "ConsumedQuantity",
    "PricingQuantity",
)
_OF_ONE_CHARGE = ("x_EventId", "x_OccurredAt")
_TIMES = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
_FORMATS = {"csv": "CSVWithNames", "parquet": "Parquet"}


def export(store: Store, period: Period, grain: FocusGrain, file_format: FocusFormat) -> Iterator[bytes]:
    """The file, piece by piece. Rows of equal dimensions, SKU and unit price are summed; unit prices never are.

    Times are RFC 3339 text with a Z in CSV (FOCUS, DateTimeFormat) and timestamps in Parquet; NULL is an empty field.
    """
    where = Selection(period).sql.replace("ts ", "x_OccurredAt ")
    rows = f"select * from v_focus where {where}" if grain == "charge" else _summed(where, grain)
    if file_format == "csv":
        times = ", ".join(f"formatDateTime({name}, '%Y-%m-%dT%H:%i:%SZ') as {name}" for name in _TIMES)
        rows = f"select * replace ({times}) from ({rows})"
    return store.stream(f"{rows} order by ChargePeriodStart, SkuPriceId, Tags", _FORMATS[file_format])


def _summed(where: str, grain: FocusGrain) -> str:
    left_out = (*_SUMS, *_OF_ONE_CHARGE, "ChargePeriodStart", "ChargePeriodEnd")
    sums = ", ".join(f"sum(charge.{name}) as {name}" for name in _SUMS)
    start = f"toStartOf{grain.title()}(charge.ChargePeriodStart)"
    return (
        f"select {sums}, {start} as ChargePeriodStart, {start} + interval 1 {grain} as ChargePeriodEnd,"
        f" charge.* except ({', '.join(left_out)}), count() as x_Charges"
        f" from v_focus as charge where {where} group by all"
    )
