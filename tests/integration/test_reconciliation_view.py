"""The view `v_reconciliation` and the pure function agree on any facts, to the pico-dollar."""

import random
from decimal import Decimal
from typing import Any

import clickhouse_connect
import pytest

from spendstream.domain.billing.reconciliation import CLASSES, Cell, variance
from spendstream.domain.money import usd_from_pico
from spendstream.runtime.clickhouse.migrate import migrations
from spendstream.runtime.resources import shipped
from tests.support.stack import Stack

pytestmark = pytest.mark.embedded
ROWS = 2_000
TOKEN = 10**12
COLUMNS = {
    "estimate_usd": "estimate", "events": "events", "unpriced_events": "unpriced_events",
    "partial_events": "partial_events", "stream_tokens": "stream_tokens", "unpriced_tokens": "unpriced_tokens",
    "bill_lines": "lines", "usage_effective_usd": "effective", "usage_contracted_usd": "contracted",
    "usage_list_usd": "list_cost", "bill_tokens": "quantity", "repeated_effective_usd": "repeated_effective",
    "repeated_contracted_usd": "repeated_contracted", "repeated_list_usd": "repeated_list",
    "repeated_tokens": "repeated_quantity", "other_usd": "other", "corrections_usd": "corrections",
    "bill_decimals": "decimals",
}  # fmt: skip
COUNTS = {"events", "unpriced_events", "partial_events", "stream_tokens", "unpriced_tokens", "bill_lines"}


def some_cell(draw: random.Random) -> Cell:
    """Two sides near each other, far from each other, or one of them empty."""
    cost = draw.choice([0, draw.randrange(10**4), draw.randrange(10**13)])
    near = [cost, cost + draw.randrange(-5, 6), cost * 9 // 10, draw.randrange(-(10**12), 10**13)]
    tokens = draw.choice([0, draw.randrange(1, 10**6)])
    events = draw.choice([0, 3]) if not tokens else 3
    lines = draw.choice([0, 1, 4])
    quantity = draw.choice([None, tokens * TOKEN, draw.randrange(10**6) * TOKEN, draw.randrange(10**18)])
    amounts = {name: draw.choice(near) if lines else 0 for name in ("effective", "contracted", "list_cost")}
    repeats = {f"repeated_{name}": draw.choice(near) for name in ("effective", "contracted", "list")}
    return Cell(
        covered=draw.random() < 0.8, estimate=draw.choice(near) if events else 0, events=events,
        unpriced_events=draw.choice([0, events]), partial_events=draw.choice([0, 0, events]), stream_tokens=tokens,
        unpriced_tokens=draw.choice([0, tokens // 3, tokens]), lines=lines, quantity=quantity if lines else None,
        repeated_quantity=draw.choice([0, (quantity or 0) // 2]) if lines else 0,
        other=draw.choice([0, draw.choice(near)]), corrections=draw.choice([0, draw.choice(near)]),
        decimals=draw.choice([0, 2, 8, 11, 12, 30]), **amounts, **(repeats if lines and draw.random() < 0.4 else {}),
    )  # fmt: skip


def facts(cell: Cell) -> list[Any]:
    def value(column: str, field: str) -> Any:
        found = getattr(cell, field)
        if field in COUNTS or field in ("lines", "decimals") or found is None:
            return found
        return usd_from_pico(found)

    return [value(column, field) for column, field in COLUMNS.items()]


def test_the_view_says_of_any_facts_what_the_function_says(tansu_stack: Stack) -> None:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=tansu_stack.clickhouse_port)
    draw = random.Random(7)
    cells = [some_cell(draw) for _ in range(ROWS)]
    types = {name: "Int64" if name in COUNTS else "Decimal(38, 12)" for name in COLUMNS}
    types |= {"bill_tokens": "Nullable(Decimal(38, 12))", "bill_decimals": "UInt8"}
    more = "org String, provider String, day Date, model String, service String, monthly Bool, covered Bool,"
    more += " billed_usd Decimal(38, 12), tax_usd Decimal(38, 12)"
    client.command("create database reconciled")
    columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
    client.command(f"create table reconciled.v_reconciliation_facts ({more}, {columns}) engine = Memory")
    client.insert(
        "reconciled.v_reconciliation_facts",
        [[str(i), cell.covered, *facts(cell)] for i, cell in enumerate(cells)],
        column_names=["org", "covered", *COLUMNS],
    )
    [view] = [
        statement
        for each in migrations(shipped("clickhouse"))
        for statement in each.statements
        if "view {database}.v_reconciliation as" in statement
    ]
    client.command(view.replace("{database}", "reconciled"))
    rows = client.query(
        f"select toInt64(org), class, variance_usd, {', '.join(CLASSES)} from reconciled.v_reconciliation"
        " order by toInt64(org)"
    ).result_rows
    assert len(rows) == ROWS
    for cell, (_, largest, total, *amounts) in zip(cells, rows, strict=True):
        expected = variance(cell)
        assert amounts == [usd_from_pico(getattr(expected, name)) for name in CLASSES], cell
        assert (largest, total) == (expected.largest, usd_from_pico(cell.invoice - cell.estimate)), cell
    assert {row[1] for row in rows} == {*CLASSES, "match"}, "some class was never met"
    assert sum((row[2] for row in rows), Decimal(0)) != 0
