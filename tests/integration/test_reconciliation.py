"""Usage and its invoice, from both topics to the classes, the report and the alert."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spendstream.runtime.kafka.reader import read_all
from spendstream.schemas import decode, encode
from tests.support.bills import bill, line
from tests.support.installation import Installation
from tests.support.stack import eventually
from tests.support.usage import PRICES, usage

pytestmark = pytest.mark.embedded
DAY = datetime(2026, 11, 2, 12, tzinfo=UTC)
DAY_US = 86_400_000_000
POLICY = "kind: Policy\nname: invoices\nspec: {kind: reconciliation, tolerance: %s}\n"
CLASSES = ("price", "missing_usage", "duplicate", "unpriced", "commitment_or_discount", "rounding", "late")


def called(model: str, calls: int, day: int = 0) -> list[tuple[bytes, bytes]]:
    """Calls of a thousand input tokens: a tenth of a cent each where the price is a dollar per million."""
    at = int(DAY.timestamp() * 1_000_000) + day * DAY_US
    found = []
    for i in range(calls):
        name = f"{model}-{day}-{i}"
        event = usage(name, model=model, input_tokens=1_000, output_tokens=0, occurred_at=at + i)
        found.append((name.encode(), encode("Usage", event)))
    return found


def invoiced(model: str, cost: str, tokens: int, **cells: str) -> dict[str, str]:
    more = {"ConsumedQuantity": str(tokens), "x_Model": model, "x_Note": "NULL"}
    return {**line(cost, ProviderName="test", ChargeDescription=model), **more, **cells}


def alerts(system: Installation) -> list[Mapping[str, Any]]:
    found = [decode(record.value)[1] for record in asyncio.run(read_all(system.settings, "alerts"))]
    return [alert for alert in found if alert["name"] == "reconciliation"]


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_an_invoice_is_explained_and_a_month_beyond_tolerance_alerts_once(
    installation: Installation, tmp_path: Path
) -> None:
    system = installation
    system.service("attribution").start()
    prices = "\n---\n".join(PRICES.replace("small", name) for name in ("agreed", "dearer", "missing", "twice", "late"))
    system.run("apply", "-f", written(tmp_path, "prices.yaml", prices))
    calls = [*called("agreed", 10), *called("dearer", 10), *called("missing", 8), *called("twice", 12),
             *called("unknown", 10), *called("late", 10, day=3)]  # fmt: skip
    system.publish("usage", calls)
    system.until("select count() from spendstream.charges", lambda n: n == len(calls))

    lines = [
        invoiced("Agreed", "0.010", 10_000),
        invoiced("dearer", "0.012", 10_000),
        invoiced("missing", "0.010", 10_000),
        invoiced("twice", "0.010", 10_000),
        invoiced("unknown", "0.010", 10_000),
        invoiced("NULL", "-0.001", 0, ChargeCategory="Credit", ChargeDescription="credit", ConsumedQuantity="NULL"),
        invoiced("NULL", "0.002", 0, ChargeCategory="Tax", ChargeDescription="VAT", ConsumedQuantity="NULL"),
    ]
    system.run("import", "billing", written(tmp_path, "bill.csv", bill(lines)))

    report = json.loads(system.run("report", "reconciliation", "--period", "2026-11", "--json").stdout)
    found = {cell["model"]: {name: Decimal(cell[name]) for name in CLASSES if Decimal(cell[name])}
             for cell in report["cells"]}  # fmt: skip
    assert found == {
        "agreed": {},
        "dearer": {"price": Decimal("0.002")},
        "missing": {"missing_usage": Decimal("0.002")},
        "twice": {"duplicate": Decimal("-0.002")},
        "unknown": {"unpriced": Decimal("0.010")},
        "": {"commitment_or_discount": Decimal("-0.001")},
        "late": {"late": Decimal("-0.010")},
    }
    for cell in report["cells"]:
        assert Decimal(cell["variance_usd"]) == sum(Decimal(cell[name]) for name in CLASSES)
    [total] = report["totals"]
    assert [Decimal(total[f"{name}_usd"]) for name in ("estimate", "invoice", "variance")] == [
        Decimal("0.040"), Decimal("0.051"), Decimal("0.011"),
    ]  # fmt: skip
    table = system.run("report", "reconciliation", "--period", "2026-11").stdout
    assert "missing_usage 0.002000" in table
    assert "agreed" not in table

    [fired] = eventually(lambda: alerts(system))
    assert (fired["state"], fired["kind"], fired["scope"]) == (
        "firing",
        "governance",
        {"org": "default", "provider": "test"},
    )
    assert fired["at_stake_pico_usd"] == 11_000_000_000
    assert fired["root_cause"].startswith("unpriced $0.01")
    system.run("apply", "-f", written(tmp_path, "policy.yaml", POLICY % "0.5"))
    eventually(lambda: [each["state"] for each in alerts(system)] == ["firing", "resolved"])
    assert {each["alert_id"] for each in alerts(system)} == {fired["alert_id"]}
    system.until("select state from spendstream.v_alerts where name = 'reconciliation'", lambda s: s == "resolved")


def test_a_monthly_line_without_a_model_is_compared_with_the_whole_month(
    installation: Installation, tmp_path: Path
) -> None:
    system = installation
    system.service("attribution").start()
    system.run("apply", "-f", written(tmp_path, "prices.yaml", PRICES))
    system.publish("usage", [*called("small", 4), *called("small", 6, day=9)])
    system.until("select count() from spendstream.charges", lambda n: n == 10)
    month = line("0.011", ProviderName="test", ServiceName="LLM", ChargePeriodStart="2026-11-01T00:00:00Z",
                 ChargePeriodEnd="2026-12-01T00:00:00Z", ConsumedQuantity="10", ConsumedUnit="1K Tokens",
                 ServiceCategory="NULL")  # fmt: skip
    system.run("import", "billing", written(tmp_path, "bill.csv", bill([month])))
    rows = system.query(
        "select toString(day), service, monthly, estimate_usd, invoice_usd, price, class"
        " from spendstream.v_reconciliation"
    )
    assert [tuple(row) for row in rows] == [
        ("2026-11-01", "LLM", True, Decimal("0.010"), Decimal("0.011"), Decimal("0.001"), "price")
    ]
