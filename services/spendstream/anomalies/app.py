"""Wiring: lanes on `costs`, and the projection of anomaly and governance alerts."""

from collections.abc import Sequence

import faust
from mode import Service

from spendstream.anomalies.engine import AnomalyLane
from spendstream.cost_stream.processor import KeyedProcessor
from spendstream.runtime.kafka.consume import build_app
from spendstream.runtime.kafka.transport import RunOptions
from spendstream.runtime.projection import Projector
from spendstream.runtime.projection.tables import alerts
from spendstream.runtime.service import Context

LINGER_MS = 100


def build(context: Context) -> Sequence[faust.App | Service]:
    """The faust app of the lanes and the app that projects alerts."""
    processor = KeyedProcessor(context, AnomalyLane)
    options = RunOptions(linger_ms=LINGER_MS)
    app = build_app(context.settings, context.service, ["costs"], processor, options, processor.lost)
    projector = Projector(
        context.clickhouse, [alerts("alerts", "anomaly", "governance"), alerts("anomalies", "anomaly")]
    )
    return [app, projector.app(context.settings, f"{context.service}-ledger")]
