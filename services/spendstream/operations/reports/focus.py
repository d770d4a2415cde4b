"""The FOCUS export: every charge, or its sums an hour or day, as CSV or Parquet.

Version 1.2 is v_focus (what Spendstream measured), 1.3 is v_focus_1_3 (bills too, shared out by the rules).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from spendstream.domain.periods import Period
from spendstream.operations.reports.selection import Selection
from spendstream.operations.store import Store

FocusGrain = Literal["charge", "hour", "day"]
FocusFormat = Literal["csv", "parquet"]
FocusVersion = Literal["1.2", "1.3"]
PeriodOf = Literal["charge", "billing"]
VIEWS = {"1.2": "v_focus", "1.3": "v_focus_1_3"}
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
    "BillingPeriodStart",
    "ChargeClass",
    "ProviderName",
    "RegionId",
    "ResourceId",
    "SubAccountId",
    "SkuPriceId",
    "ListUnitPrice",
    "ContractedUnitPrice",
    *(f"x_{name}" for name in ("Source", "Kind", "Team", "Project", "Environment", "CostCenter", "Service", "Feature")),
    *(f"x_{name}" for name in ("Model", "Category", "Status", "OwnerSource", "Bucket")),
)
_OF_ONE_CHARGE = ("x_EventId", "x_OccurredAt", "x_KnownAt")
# A charge that is amended before its month ends stays the same line.
_CHARGE_KEYS = (
    *("x_Source", "x_Kind", "x_EventId", "x_TokenClass", "x_OccurredAt", "ResourceId", "x_Bucket", "Tags"),
    "if(charge.x_Kind = 'charge', null, charge.x_KnownAt)",
)
_TIMES = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
_FORMATS = {"csv": "CSVWithNames", "parquet": "Parquet"}
# Lines of bills and of allocations have no grain finer than their own.
_MEASURED = "x_Source in ('usage', 'gpu') and x_Kind in ('charge', 'reversal', 'restatement')"


@dataclass(frozen=True)
class FocusExport:
    """What to export. `period_of`: whose period is meant, that of the charge, or of the bill it would be on."""

    period: Period
    grain: FocusGrain = "day"
    version: FocusVersion = "1.2"
    period_of: PeriodOf = "charge"

    @property
    def needs_months(self) -> bool:
        """Whether only whole months can be exported like this."""
        return self.version == "1.3" or self.period_of == "billing"

    @property
    def where(self) -> str:
        """The condition on the view. What stands for a whole month is there when all of it was asked for."""
        moment = "x_OccurredAt " if self.period_of == "charge" else "toDateTime64(BillingPeriodStart, 6, 'UTC') "
        chosen = Selection(self.period).sql.replace("ts ", moment)
        whole = f"ChargePeriodEnd <= toDateTime('{self.period.end:%Y-%m-%d %H:%M:%S}', 'UTC')"
        return chosen if self.needs_months else f"{chosen} and ({_MEASURED} or {whole})"


def export(store: Store, what: FocusExport, file_format: FocusFormat) -> Iterator[bytes]:
    """The file, piece by piece. Rows of equal dimensions, SKU and unit price are summed; unit prices never are.

    Times are RFC 3339 text with a Z in CSV (FOCUS, DateTimeFormat) and timestamps in Parquet; NULL is an empty field.
    `x_LineId` is what `import billing` knows a line by.
    """
    view = VIEWS[what.version]
    if what.grain == "charge":  # every charge would have to be sorted in memory
        measured = f"if({_MEASURED}, {_digest(_CHARGE_KEYS)}, null) as x_LineId"
        rows = f"select *, {measured} from {view} as charge where {what.where}"
    else:
        columns = [str(row[0]) for row in store.rows(f"describe table {view}") if row[0] not in _OF_ONE_CHARGE]
        rows = (
            f"{_summed(view, columns, what)} union all select {', '.join(columns)}, toUInt64(1), null"
            f" from {view} where {what.where} and not ({_MEASURED})"
        )
        rows = f"select * from ({rows}) order by ChargePeriodStart, x_Source, SkuPriceId, Tags, x_LineId"
    if file_format == "csv":
        times = ", ".join(f"formatDateTime({name}, '%Y-%m-%dT%H:%i:%SZ') as {name}" for name in _TIMES)
        rows = f"select * replace ({times}) from ({rows})"
    return store.stream(rows, _FORMATS[file_format])


def _summed(view: str, columns: Sequence[str], what: FocusExport) -> str:
    """Qualified names: an alias of the same name must not stand in for the column."""
    start = f"toStartOf{what.grain.title()}(charge.ChargePeriodStart)"
    said = {name: f"sum(charge.{name})" for name in _SUMS} | {name: f"charge.{name}" for name in _KEYS}
    said |= {"ChargePeriodStart": start, "ChargePeriodEnd": f"{start} + interval 1 {what.grain}"}
    selected = [f"{said.get(name, f'any(charge.{name})')} as {name}" for name in columns]
    keys = [start, *(f"charge.{name}" for name in _KEYS)]
    line = f"cast({_digest(keys)} as Nullable(String)) as x_LineId"
    return (
        f"select {', '.join(selected)}, count() as x_Charges, {line} from {view} as charge"
        f" where {what.where} and {_MEASURED} group by {', '.join(keys)}"
    )  # fmt: skip


def _digest(terms: Sequence[str]) -> str:
    """32 hexadecimal digits of columns or expressions."""
    names = [term if "(" in term or "." in term else f"charge.{term}" for term in terms]
    texts = ", ".join(f"ifNull(toString({name}), '')" for name in names)
    return f"lower(hex(sipHash128({texts})))"
