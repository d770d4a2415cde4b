"""Wiring: the first cursor on `usage`, the second into `charges`, projections of what was published, GPUs, bills."""

from collections.abc import Sequence

import faust
from mode import Service

from spendstream.attribution.billing import BillProcessor
from spendstream.attribution.gpu import GpuProcessor
from spendstream.attribution.gpu_alerts import UnpricedModels
from spendstream.attribution.gpu_repair import GpuRepair
from spendstream.attribution.ledger import Ledger, RecentRanges
from spendstream.attribution.processor import AttributionProcessor
from spendstream.attribution.reconciliation import ReconciliationWatch
from spendstream.runtime.kafka.consume import build_app
from spendstream.runtime.projection import ColumnProjection, Projection, Projector
from spendstream.runtime.projection.tables import (
    BILLING_DEAD_LETTERS,
    CALLER_COSTS,
    CONTROL,
    DEAD_LETTERS,
    GPU_DEAD_LETTERS,
    OWNER_COSTS,
    PRICES,
    alerts,
)
from spendstream.runtime.service import Context


def build(context: Context) -> Sequence[faust.App | Service]:
    """The faust app of the first cursor, the ledger, and the app that projects what was published."""
    recent = RecentRanges()
    processor = AttributionProcessor(context, recent)
    ledger = Ledger(context, recent)
    processor.assignment_changed = ledger.follow
    app = build_app(context.settings, context.service, ["usage"], processor, lost=processor.lost)
    tables: list[Projection | ColumnProjection] = [
        OWNER_COSTS,
        CALLER_COSTS,
        DEAD_LETTERS,
        BILLING_DEAD_LETTERS,
        GPU_DEAD_LETTERS,
        CONTROL,
        PRICES,
        alerts("alerts", "pipeline", "governance"),
    ]
    projector = Projector(context.clickhouse, tables)
    models = UnpricedModels(context.publisher)
    repair = GpuRepair(context, models)
    bills = BillProcessor(context)
    return [
        app,
        ledger,
        projector.app(context.settings, f"{context.service}-ledger"),
        GpuProcessor(context, models, repair.look_again).app(),
        repair,
        bills.app(f"{context.service}-billing"),
        ReconciliationWatch(context, lambda: bills.reads),
    ]
