"""Wiring: both cursors on `usage`, projections of what was published, corrections and their repairer, GPUs, bills."""

from collections.abc import Sequence

import faust
from mode import Service

from spendstream.attribution.bills.processor import BillProcessor
from spendstream.attribution.bills.reconciliation import ReconciliationWatch
from spendstream.attribution.corrections.processor import GROUP, TOPIC, CorrectionProcessor
from spendstream.attribution.corrections.repair import Repairer
from spendstream.attribution.draining import Draining
from spendstream.attribution.gpu.alerts import UnpricedModels
from spendstream.attribution.gpu.corrections import GpuCorrections
from spendstream.attribution.gpu.processor import GpuProcessor
from spendstream.attribution.gpu.repair import GpuRepair
from spendstream.attribution.usage.ledger import Ledger, RecentRanges
from spendstream.attribution.usage.processor import AttributionProcessor
from spendstream.domain.corrections import POSITIONS
from spendstream.domain.rollups import LATE_BLOCK
from spendstream.runtime.kafka.consume import build_app
from spendstream.runtime.kafka.transport import RunOptions
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

CORRECTIONS_LINGER_MS = 100
#: Records of corrections are large: no more at once than can be taken in at once.
CORRECTIONS_RECORDS = LATE_BLOCK // POSITIONS


def build(context: Context) -> Sequence[faust.App | Service]:
    """The faust app of the first cursor, the ledger, the app that projects what was published, and corrections."""
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
    projected = Projector(context.clickhouse, tables).app(context.settings, f"{context.service}-ledger")
    corrections, repairer = CorrectionProcessor(context), Repairer(context)
    corrections.assignment_changed = repairer.follow
    options = RunOptions(linger_ms=CORRECTIONS_LINGER_MS, records=CORRECTIONS_RECORDS)
    corrected = build_app(context.settings, GROUP, [TOPIC], corrections, options)
    models = UnpricedModels(context.publisher)
    gpu_repair, gpu_corrections = GpuRepair(context, models), GpuCorrections(context)
    gpu_corrections.assignment_changed = gpu_repair.follow
    bills = BillProcessor(context)
    return [
        app,
        ledger,
        projected,
        corrected,
        repairer,
        GpuProcessor(context, models, gpu_repair.news).app(),
        gpu_corrections.app(),
        gpu_repair,
        bills.app(f"{context.service}-billing"),
        ReconciliationWatch(context, lambda: bills.reads),
        Draining(app, ledger, context.publisher, projected),
    ]
