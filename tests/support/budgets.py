"""A budget small enough to be filled by hand, and what is said about it on the topics and in ClickHouse."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from spendstream.runtime.kafka.reader import read_all
from spendstream.schemas import decode
from tests.support.installation import Installation
from tests.support.stack import PATIENCE_S, eventually
from tests.support.usage import PRICES, numbered
from tests.support.windows import lasting

EACH = Decimal("0.0013")
#: A hundred calls of $0.0013.
AMOUNT = Decimal("0.13")
LEVELS = [(0.7, "notice"), (0.8, "warning"), (0.9, "action"), (1.0, "critical"), (1.1, "page")]


def declare(system: Installation, folder: Path) -> None:
    """Prices, and the budget `small` of team `search`; told again, it is the same budget."""
    (folder / "prices.yaml").write_text(PRICES)
    budget, window = folder / "budget.yaml", lasting("hour", "day", "week", "month")
    if not budget.exists():
        budget.write_text(
            f"kind: Budget\nname: small\nspec:\n  scope: {{team: search}}\n  window: {window}\n"
            f"  amount_usd: {AMOUNT}\n  fallback_model: test/small\n"
        )
    system.run("apply", "-f", str(folder / "prices.yaml"), "-f", str(budget))


def calls(prefix: str, count: int) -> list[tuple[bytes, bytes]]:
    """`count` calls of one percent of the budget each."""
    return list(numbered(prefix, count))


def records(system: Installation, topic: str) -> list[Mapping[str, Any]]:
    """Everything on a topic of one partition, in order."""
    found = asyncio.run(read_all(system.settings, topic))
    return [decode(record.value)[1] for record in found if record.value]


def alerts(system: Installation) -> list[Mapping[str, Any]]:
    """Alerts of the budget."""
    return [alert for alert in records(system, "alerts") if alert["kind"] == "budget" and alert["name"] == "small"]


def firings(system: Installation) -> list[tuple[float, str]]:
    """(level, severity) of every record that raised a level of the ladder, in order."""
    return [
        (alert["level"], alert["severity"])
        for alert in alerts(system)
        if alert["state"] == "firing" and alert["level"] is not None
    ]


def until_fired(system: Installation, count: int) -> None:
    """Wait for `count` levels."""
    eventually(lambda: len(set(firings(system))) >= count, every=0.3)


def until_spent(system: Installation, events: int, timeout: float = PATIENCE_S) -> None:
    """Wait until budget_status has counted exactly `events` calls."""
    system.until(
        "select spent_usd from budget_status final where budget = 'small' order by updated_at desc limit 1",
        lambda spent: spent >= events * EACH,
        timeout,
    )
    spent = system.value("select sum(spent_usd) from budget_status final where budget = 'small'")
    assert spent == events * EACH, f"{spent / EACH} calls instead of {events}"


def repeated(found: Sequence[tuple[float, str]]) -> dict[tuple[float, str], int]:
    """What was said more than once."""
    return {level: count for level, count in Counter(found).items() if count > 1}
