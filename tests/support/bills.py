"""Bills for tests: rows a reader can check in the head, and sums computed without any of our code."""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "data" / "focus" / "sample.csv"
SPEC = SAMPLE.parent / "spec"
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
LINE = {
    "ProviderName": "OpenAI",
    "BillingAccountId": "acc-1",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "BillingPeriodEnd": "2026-12-01T00:00:00Z",
    "ChargePeriodStart": "2026-11-02T00:00:00Z",
    "ChargePeriodEnd": "2026-11-03T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargeDescription": "tokens",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceName": "API",
    "BilledCost": "1.00",
    "EffectiveCost": "1.00",
    "ListCost": "1.00",
    "ContractedCost": "1.00",
    "ConsumedQuantity": "1000",
    "ConsumedUnit": "Tokens",
    "Tags": "NULL",
}


def line(cost: str = "1.00", **cells: str) -> dict[str, str]:
    """A line whose four costs are `cost`; `cells` by column name."""
    return {**LINE, **dict.fromkeys(COSTS, cost), **cells}


def bill(lines: Sequence[Mapping[str, str]]) -> str:
    """A FOCUS CSV of lines that all have the same columns."""
    rows = [list(lines[0]), *(list(each.values()) for each in lines)]
    return "\n".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows) + "\n"


def sums(path: Path) -> dict[tuple[str, str, str], list[Decimal]]:
    """(provider, service, month) → the four costs of a file, by the csv module and Decimal alone; NULL is nothing."""
    found: dict[tuple[str, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 4)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            key = (row["ProviderName"], row["ServiceName"], row["BillingPeriodStart"][:10])
            cells = [row[name] for name in COSTS]
            found[key] = [
                a + (Decimal(0) if b == "NULL" else Decimal(b)) for a, b in zip(found[key], cells, strict=True)
            ]
    return dict(found)
