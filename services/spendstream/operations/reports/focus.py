"""The FOCUS 1.2 export: v_focus row by row, or summed to hours or days, as CSV or Parquet."""

from collections.abc import Iterator, Sequence
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
# What tells rows apart; every other column follows from these.
_KEYS = (
    "BillingAccountId",
    "ProviderName",
    "RegionId",
    "SubAccountId",
    "SkuPriceId",
    "ListUnitPrice",
    "ContractedUnitPrice",
    *(f"x_{name}" for name in ("Team", "Project", "Environment", "CostCenter", "Service", "Feature", "Model")),
    *(f"x_{name}" for name in ("Category", "Status", "OwnerSource")),
)
_OF_ONE_CHARGE = ("x_EventId", "x_OccurredAt")
_TIMES = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
_FORMATS = {"csv": "CSVWithNames", "parquet": "Parquet"}


def export(store: Store, period: Period, grain: FocusGrain, file_format: FocusFormat) -> Iterator[bytes]:
    """The file, piece by piece. Rows of equal dimensions, SKU and unit price are summed; unit prices never are.

    Times are RFC 3339 text with a Z in CSV (FOCUS, DateTimeFormat) and timestamps in Parquet; NULL is an empty field.
    """
    where = Selection(period).sql.replace("ts ", "x_OccurredAt ")
    rows = f"select * from v_focus where {where}"
    if grain != "charge":  # every charge would have to be sorted in memory
        columns = [str(row[0]) for row in store.rows("describe table v_focus")]
        rows = f"{_summed(columns, where, grain)} order by ChargePeriodStart, SkuPriceId, Tags"
    if file_format == "csv":
        times = ", ".join(f"formatDateTime({name}, '%Y-%m-%dT%H:%i:%SZ') as {name}" for name in _TIMES)
        rows = f"select * replace ({times}) from ({rows})"
    return store.stream(rows, _FORMATS[file_format])


def _summed(columns: Sequence[str], where: str, grain: FocusGrain) -> str:
    """Qualified names: an alias of the same name must not stand in for the column."""
    start = f"toStartOf{grain.title()}(charge.ChargePeriodStart)"
    said = {name: f"sum(charge.{name})" for name in _SUMS} | {name: f"charge.{name}" for name in _KEYS}
    said |= {"ChargePeriodStart": start, "ChargePeriodEnd": f"{start} + interval 1 {grain}"}
    selected = [f"{said.get(name, f'any(charge.{name})')} as {name}" for name in columns if name not in _OF_ONE_CHARGE]
    keys = ", ".join([start, *(f"charge.{name}" for name in _KEYS)])
    return (
        f"select {', '.join(selected)}, count() as x_Charges from v_focus as charge where {where} group by {keys}"
    )  # fmt: skip
