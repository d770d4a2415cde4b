"""Wiring: lanes on `costs`, the status of every budget into ClickHouse, and the projection of budget alerts."""

from collections.abc import Sequence

import faust
import pyarrow as pa
from mode import Service

from spendstream.budgets.engine import BudgetLane
from spendstream.cost_stream.processor import KeyedProcessor
from spendstream.runtime import clock
from spendstream.runtime.kafka.consume import build_app
from spendstream.runtime.kafka.transport import RunOptions
from spendstream.runtime.projection import Projector
from spendstream.runtime.projection.tables import BUDGET_STATUS_SCHEMA, alerts
from spendstream.runtime.service import Context

LINGER_MS = 50
STATUS_EVERY_S = 2.0


def build(context: Context) -> Sequence[faust.App | Service]:
    """The faust app of the lanes, the status writer, and the app that projects alerts."""
    processor = KeyedProcessor(context, BudgetLane)
    options = RunOptions(linger_ms=LINGER_MS)
    app = build_app(context.settings, context.service, ["costs"], processor, options, processor.lost)
    projector = Projector(context.clickhouse, [alerts("alerts", "budget")])
    return [app, StatusWriter(context, processor), projector.app(context.settings, f"{context.service}-ledger")]


class StatusWriter(Service):  # type: ignore[misc]  # mode is untyped
    """Writes where every budget stands, every few seconds; only the newest row of a window counts."""

    def __init__(self, context: Context, processor: KeyedProcessor[BudgetLane]) -> None:
        super().__init__()
        self._context, self._processor = context, processor

    @Service.task  # type: ignore[untyped-decorator]
    async def _write(self) -> None:
        while not self.should_stop:
            await self.sleep(STATUS_EVERY_S)
            now = clock.now_us()
            rows = [row for lane in self._processor.engines for row in lane.status(now)]
            if rows:
                columns = {field.name: [_value(row[field.name]) for row in rows] for field in BUDGET_STATUS_SCHEMA}
                table = pa.table(columns, schema=BUDGET_STATUS_SCHEMA)
                await self._context.clickhouse.insert("budget_status", table)


def _value(value: object) -> object:
    return list(value.items()) if isinstance(value, dict) else value
