"""What GPUs cost a period: used and idle, the price of an hour of work, dollars a million tokens, unbilled gaps."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from spendstream.domain.periods import Period
from spendstream.operations.reports.selection import Table
from spendstream.operations.store import Store

DIMENSIONS: Final[Mapping[str, str]] = {
    **{name: f"gpu.{name}" for name in ("org", "day", "gpu_model", "team", "service")},
    "month": "toStartOfMonth(gpu.day)",
}
#: `gpu.x` is a column of v_gpu_efficiency, a bare name another measure.
MEASURES: Final[Mapping[str, str]] = {
    "hours": "sum(gpu.allocated_hours)",
    "used_hours": "sum(gpu.used_hours)",
    "utilisation": "used_hours / nullIf(hours, 0)",
    "cost_usd": "sum(gpu.allocated_usd)",
    "used_usd": "sum(gpu.used_usd)",
    "waste_usd": "sum(gpu.waste_usd)",
    "usd_per_hour": "toFloat64(cost_usd) / nullIf(hours - unpriced_hours, 0)",
    "effective_usd_per_hour": "toFloat64(cost_usd) / nullIf(used_hours - sum(gpu.unpriced_used_hours), 0)",
    "tokens": "sum(gpu.input_tokens + gpu.output_tokens)",
    "used_usd_per_million_tokens": "if(unpriced_hours > 0, null, 1e6 * toFloat64(used_usd) / nullIf(tokens, 0))",
    "usd_per_million_tokens": "if(unpriced_hours > 0, null, 1e6 * toFloat64(cost_usd) / nullIf(tokens, 0))",
    "api_usd_per_million_tokens": "if(countIf(gpu.input_tokens + gpu.output_tokens > 0 and gpu.api_usd is null) > 0,"
    " null, 1e6 * sum(gpu.api_usd) / nullIf(tokens, 0))",
    "unpriced_hours": "sum(gpu.unpriced_hours)",
}


class Gaps(NamedTuple):
    """Time without telemetry that nobody is billed for."""

    hours: float
    devices: int


def efficiency(store: Store, period: Period, by: Sequence[str]) -> Table:
    """One row per combination of `by` (names of DIMENSIONS), the dearest first; cost adds up to v_gpu_cost exactly.

    `cost_usd` is used and idle together; a row without a team is what was idle at nobody. Rates are null where a GPU
    has no price or there were no tokens.
    """
    named = [f"{DIMENSIONS[name]} as by_{name}" for name in by]
    measures = [f"{sql} as {name}" for name, sql in MEASURES.items()]
    grouped = [f"by_{name}" for name in by]
    rows = store.rows(
        f"select {', '.join([*named, *measures])} from v_gpu_efficiency as gpu"
        f" where gpu.day >= toDate('{period.start:%Y-%m-%d}') and gpu.day < toDate('{period.end:%Y-%m-%d}')"
        + (f" group by {', '.join(grouped)}" if by else "")
        + f" order by {', '.join(['cost_usd desc', *grouped])}"
    )
    return Table((*by, *MEASURES), rows)


def gaps(store: Store, period: Period) -> Gaps:
    """Gaps that ended in the period."""
    [(milliseconds, devices)] = store.rows(
        "select sum(gap_ms), uniqExact(org, gpu_uuid) from v_gpu_gaps"
        f" where gap_end >= {_moment(period.start)} and gap_end < {_moment(period.end)}"
    )
    return Gaps(milliseconds / 3_600_000, devices)


def _moment(moment: datetime) -> str:
    return f"toDateTime('{moment:%Y-%m-%d %H:%M:%S}', 'UTC')"
