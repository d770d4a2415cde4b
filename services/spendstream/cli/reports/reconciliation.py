"""`spendstream report reconciliation`: invoices against what the stream says they should be."""

from datetime import date
from typing import Annotated, Any

import typer

from spendstream.cli.failures import USAGE, CommandError, errors
from spendstream.cli.output import cents, print_json, print_table
from spendstream.cli.reaching import JsonOption, reaching
from spendstream.cli.reports.options import PeriodOption, period_option


def reconciliation(
    period: PeriodOption,
    provider: Annotated[str | None, typer.Option("--provider", help="Only this one, as usage names it.")] = None,
    org: Annotated[str | None, typer.Option("--org", help="Only this organisation.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="In the table: days that agree, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The stream's estimate against the invoice by provider, day and model, and why they differ.

    variance = invoice - estimate = price + missing_usage + duplicate + unpriced + commitment_or_discount + rounding +
    late, exactly. The invoice is the effective cost of model calls without taxes. Totals leave out what the bill does
    not reach yet.

    Example: spendstream report reconciliation --period 2026-11 --provider openai
    """
    from spendstream.operations.reconciliation import reconcile  # noqa: PLC0415
    from spendstream.operations.store import Store  # noqa: PLC0415
    from spendstream.runtime.settings import Settings  # noqa: PLC0415

    first, end = _days(period)
    with reaching():
        found = reconcile(Store(Settings.load()), first, end, org, provider)
    if as_json:
        print_json({"report": "reconciliation", "from": first, "to": end, "totals": found.totals, "cells": found.cells})
        return
    several = len({cell["org"] for cell in found.cells}) > 1
    differing = [cell for cell in found.cells if everything or cell["class"] != "match"]
    print_table("", ("provider", "day", "model", "estimate USD", "invoice USD", "variance USD", "because of"),
                [_row(cell, several) for cell in differing])  # fmt: skip
    print_table("", ("provider", "estimate USD", "invoice USD", "variance USD", "share", "because of"),
                [_total(total, several) for total in found.totals])  # fmt: skip
    if not found.cells:
        errors.print(f"neither usage nor an invoice for {period}", markup=False)
    elif not found.totals:
        errors.print(f"no invoice reaches {period} yet: spendstream import billing FILE", markup=False)


def _days(period: str) -> tuple[date, date]:
    """First day and the day behind the last."""
    found = period_option(period)
    if (found.start.hour, found.start.minute, found.end.hour, found.end.minute) != (0, 0, 0, 0):
        raise CommandError(f"--period: {period!r} is not made of whole days, as bills are", USAGE)
    return found.start.date(), found.end.date()


def _row(cell: dict[str, Any], several: bool) -> tuple[Any, ...]:
    day = f"{cell['day']:%Y-%m}" if cell["monthly"] else cell["day"]
    model = cell["model"] or cell["service"] or "(any)"
    amounts = [cents(cell[f"{name}_usd"]) for name in ("estimate", "invoice", "variance")]
    return _name(cell, several), day, model, *amounts, _reasons(cell)


def _total(total: dict[str, Any], several: bool) -> tuple[Any, ...]:
    invoice, variance = total["invoice_usd"], total["variance_usd"]
    share = f"{variance / abs(invoice):+.1%}" if invoice else ""
    return (
        _name(total, several), cents(total["estimate_usd"]), cents(invoice), cents(variance), share, _reasons(total),
    )  # fmt: skip


def _name(row: dict[str, Any], several: bool) -> str:
    return f"{row['org']}/{row['provider']}" if several else str(row["provider"])


def _reasons(row: dict[str, Any]) -> str:
    """The classes that are not nothing, the largest first."""
    from spendstream.domain.billing.reconciliation import CLASSES  # noqa: PLC0415

    amounts = sorted(((name, row[name]) for name in CLASSES if row[name]), key=lambda each: -abs(each[1]))
    return ", ".join(f"{name} {cents(amount)}" for name, amount in amounts) or "match"
