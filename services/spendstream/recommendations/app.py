"""Wiring: one processor on `costs` and `usage`, and the projection of recommendations."""

from collections.abc import Sequence

import faust
from mode import Service

from spendstream.recommendations.processor import RecommendationProcessor
from spendstream.runtime.kafka.consume import build_app
from spendstream.runtime.kafka.transport import RunOptions
from spendstream.runtime.projection import Projector
from spendstream.runtime.projection.tables import RECOMMENDATIONS
from spendstream.runtime.service import Context

LINGER_MS = 500


def build(context: Context) -> Sequence[faust.App | Service]:
    """The faust app of the profiles and the app that projects recommendations."""
    options = RunOptions(linger_ms=LINGER_MS)
    processor = RecommendationProcessor(context)
    app = build_app(context.settings, context.service, ["costs", "usage"], processor, options, processor.lost)
    projector = Projector(context.clickhouse, [RECOMMENDATIONS])
    return [app, projector.app(context.settings, f"{context.service}-ledger")]
