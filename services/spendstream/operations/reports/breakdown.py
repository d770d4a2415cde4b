"""What was spent by any dimensions, and how it went over time."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from spendstream.operations.reports.selection import DIMENSIONS, NO_MONEY, Selection, Table
from spendstream.operations.store import Store

Grain = Literal["hour", "day", "month"]
MEASURES = ("requests", "input_tokens", "output_tokens", "unpriced_events", "partial_events", "cost_usd")
_MEASURED = (
    "sum(requests) as requests, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,"
    " countIf(status = 'unpriced') as unpriced_events, countIf(status = 'partial') as partial_events,"
    " sum(cost_usd) as cost_usd"
)


def breakdown(store: Store, selection: Selection, by: Sequence[str]) -> Table:
    """One row per combination of `by` (names of DIMENSIONS), the dearest first; without any, one row of everything."""
    return _grouped(store, selection, by, "cost_usd desc")


def trend(store: Store, selection: Selection, grain: Grain, by: Sequence[str], now: datetime) -> Table:
    """Rows in order of time. Told apart by nothing else, every hour, day or month up to `now` has its row, spent or
    not."""
    found = _grouped(store, selection, (grain, *by), grain)
    if by:
        return found
    spent = {row[0]: row for row in found.rows}
    nothing = (*(0 for _ in MEASURES[:-1]), NO_MONEY)
    end = min(selection.period.end, max(now, selection.period.start))
    slots = set(_slots(selection.period.start, end, grain)) | set(spent)
    return Table(found.columns, [spent.get(slot, (slot, *nothing)) for slot in sorted(slots)])


def _grouped(store: Store, selection: Selection, by: Sequence[str], order: str) -> Table:
    named = [f"{DIMENSIONS[name]} as by_{name}" for name in by]
    grouped = [f"by_{name}" for name in by]
    # Named apart from the columns: `day` in the condition is the column, in the result perhaps its month.
    order = f"by_{order}" if order in by else order
    rows = store.rows(
        f"select {', '.join([*named, _MEASURED])} from v_cost where {selection.sql}"
        + (f" group by {', '.join(grouped)}" if by else "")
        + f" order by {', '.join([order, *grouped])}",
        **selection.parameters,
    )
    return Table((*by, *MEASURES), rows)


def _slots(start: datetime, end: datetime, grain: Grain) -> Iterator[date]:
    """First moments of the hours, days or months that begin before `end`, as ClickHouse returns them."""
    slot = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if grain != "hour":
        slot = slot.replace(hour=0)
    if grain == "month":
        slot = slot.replace(day=1)
    while slot < end:
        yield slot if grain == "hour" else slot.date()
        slot += timedelta(hours=1) if grain == "hour" else timedelta(days=1)
        if grain == "month":
            slot = (slot + timedelta(days=31)).replace(day=1)
