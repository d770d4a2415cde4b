"""Which rows a report is about, and by what they are told apart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, NamedTuple

from spendstream.domain.periods import Period

DIMENSIONS: Mapping[str, str] = {
    **{name: name for name in (
        "org", "team", "project", "environment", "cost_center", "service", "feature", "provider", "model", "category",
        "region", "tier", "status", "user_id", "api_key_id", "price_id", "day",
    )},
    "hour": "toStartOfHour(toDateTime(ts, 'UTC'))",
    "month": "toStartOfMonth(day)",
}  # fmt: skip
_EXACT = Context(prec=80)
#: Zero as an amount: with its twelve decimals, as every other amount in a file.
NO_MONEY = Decimal("0E-12")


class Table(NamedTuple):
    """Rows under named columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def dicts(self) -> list[dict[str, Any]]:
        """Each row by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def total(self, column: str) -> Any:
        """Exact sum of a column of counts or amounts."""
        i = list(self.columns).index(column)
        return exact_sum((row[i] for row in self.rows), NO_MONEY if column.endswith("_usd") else 0)


@dataclass(frozen=True)
class Selection:
    """A period and what each dimension must be; amounts of any organisation unless `org` is given."""

    period: Period
    equal: Mapping[str, str] = field(default_factory=dict)

    @property
    def sql(self) -> str:
        """The condition on v_cost; values are bound as in `parameters`."""
        terms = [f"ts >= {_moment(self.period.start)}", f"ts < {_moment(self.period.end)}"]
        terms += [f"toString({DIMENSIONS[name]}) = %(equal_{name})s" for name in self.equal]
        return " and ".join(terms)

    @property
    def parameters(self) -> dict[str, str]:
        """What `sql` needs."""
        return {f"equal_{name}": value for name, value in self.equal.items()}

    def over(self, period: Period) -> "Selection":
        """The same rows of another period."""
        return Selection(period, self.equal)


def exact_sum(values: Iterable[Any], nothing: Decimal | int = 0) -> Any:
    """Sum without the rounding of the default decimal context; `nothing` where there are no values."""
    total: Any = nothing
    for value in values:
        total = _EXACT.add(Decimal(total), value) if isinstance(value, Decimal) else total + value
    return total


def _moment(moment: datetime) -> str:
    return f"toDateTime64('{moment:%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"
