"""Wiring: both cursors on `usage`, the projection of `costs` and dead letters, and corrections with their repairer."""

from collections.abc import Sequence

import faust
from mode import Service

from spendstream.attribution.corrections import GROUP, TOPIC, CorrectionProcessor
from spendstream.attribution.ledger import Ledger, RecentRanges
from spendstream.attribution.processor import AttributionProcessor
from spendstream.attribution.repair import Repairer
from spendstream.runtime.kafka.consume import build_app
from spendstream.runtime.kafka.transport import RunOptions
from spendstream.runtime.projection import Projector
from spendstream.runtime.projection.tables import CALLER_COSTS, CONTROL, DEAD_LETTERS, OWNER_COSTS, PRICES, alerts
from spendstream.runtime.service import Context

CORRECTIONS_LINGER_MS = 100


def build(context: Context) -> Sequence[faust.App | Service]:
    """The faust app of the first cursor, the ledger, the app that projects what was published, and corrections."""
    recent = RecentRanges()
    processor = AttributionProcessor(context, recent)
    ledger = Ledger(context, recent)
    processor.assignment_changed = ledger.follow
    app = build_app(context.settings, context.service, ["usage"], processor)
    projector = Projector(
        context.clickhouse, [OWNER_COSTS, CALLER_COSTS, DEAD_LETTERS, CONTROL, PRICES, alerts("alerts", "pipeline")]
    )
    corrections, repairer = CorrectionProcessor(context), Repairer(context)
    corrections.assignment_changed = repairer.follow
    corrected = build_app(context.settings, GROUP, [TOPIC], corrections, RunOptions(linger_ms=CORRECTIONS_LINGER_MS))
    return [app, ledger, projector.app(context.settings, f"{context.service}-ledger"), corrected, repairer]
