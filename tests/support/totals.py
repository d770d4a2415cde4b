"""What all totals must say once everything that was sent has arrived; each has its own way, and its own time."""

from collections.abc import Sequence
from decimal import Decimal

from tests.support.installation import Installation
from tests.support.stack import PATIENCE_S

#: What a call of `support.usage` costs.
EACH = Decimal("0.0013")


def until_exactly(system: Installation, sent: int, duplicates: int, timeout: float = PATIENCE_S) -> None:
    """Wait for `sent` calls in charges and roll-ups and for the marks of the ledger; then nothing is there twice."""
    system.until("select count() from charges", lambda n: n >= sent, timeout)
    system.until("select sum(events) from v_cost_minute", lambda n: n >= sent, timeout)
    system.until("select events_in from v_conservation", lambda n: n >= sent + duplicates, timeout)
    assert system.query("select count(), uniqExact(event_id) from charges")[0] == (sent, sent)
    assert system.value("select sum(cost_usd) from v_cost") == sent * EACH
    assert system.value("select sum(cost_usd) from v_cost_daily") == sent * EACH
    counted = system.query("select events_in, duplicate, difference from v_conservation")[0]
    assert counted == (sent + duplicates, duplicates, 0)


def until_conserved(system: Installation, counts: Sequence[int]) -> None:
    """Wait until `v_conservation` says so: a range is marked after its charges, dead letters and costs are written."""
    system.until("select tuple(*) from v_conservation", tuple(counts).__eq__)
