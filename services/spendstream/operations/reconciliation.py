"""Invoices against estimates, for people: cells of `v_reconciliation` in a stretch of days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from spendstream.domain.billing.reconciliation import CLASSES
from spendstream.operations.store import Store

AMOUNTS = ("estimate_usd", "invoice_usd", "variance_usd", *CLASSES)
COLUMNS = (
    "org", "provider", "day", "model", "service", "monthly", "covered", *AMOUNTS, "class", "billed_usd", "tax_usd",
    "events", "unpriced_events", "partial_events", "stream_tokens", "bill_tokens", "bill_lines",
)  # fmt: skip


@dataclass(frozen=True)
class Reconciliation:
    """Cells in order of organisation, provider, day and model, and what a provider's cells come to."""

    cells: Sequence[dict[str, Any]]

    @property
    def totals(self) -> list[dict[str, Any]]:
        """One row an organisation and provider, of the cells its bill reaches."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for cell in self.cells:
            if not cell["covered"]:
                continue
            key = (cell["org"], cell["provider"])
            start = {"org": key[0], "provider": key[1], **dict.fromkeys(AMOUNTS, Decimal(0))}
            total = found.setdefault(key, start)
            for name in AMOUNTS:
                total[name] += cell[name]
        return list(found.values())


def reconcile(store: Store, first: date, end: date, org: str | None, provider: str | None) -> Reconciliation:
    """Cells from `first` (inclusive) to `end` (exclusive) that have something on either side."""
    wanted = ["day >= %(first)s", "day < %(end)s"]
    values: dict[str, Any] = {"first": first, "end": end}
    for name, value in (("org", org), ("provider", provider)):
        if value is not None:
            wanted.append(f"{name} = %({name})s")
            values[name] = value
    rows = store.rows(
        f"select {', '.join(COLUMNS)} from v_reconciliation where {' and '.join(wanted)}"
        " order by org, provider, day, model",
        **values,
    )
    return Reconciliation([dict(zip(COLUMNS, row, strict=True)) for row in rows])
