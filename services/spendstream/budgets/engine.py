"""The budgets engine as a lane wants it: documents in, Avro messages out."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import structlog

from spendstream.cost_stream.engine import Emissions
from spendstream.cost_stream.processor import Owns
from spendstream.domain.budgets import Budget, BudgetEngine, Changes, parse_budget
from spendstream.runtime.control import ControlLog
from spendstream.schemas import encode

log = structlog.get_logger()


class BudgetLane:
    """Budgets of the organisations of one partition of `costs`."""

    recalls = ("alerts", "enforcement")

    def __init__(self, owns: Owns, source_partitions: int) -> None:
        self._owns = owns
        self._engine = BudgetEngine()
        #: Last rows of windows that have ended, until they are written to `budget_status`.
        self.ended: list[dict[str, Any]] = []

    def update(self, deltas: pl.DataFrame, now: int) -> Emissions:
        return self._emit(self._engine.update(deltas.filter(pl.col("grain") == "owner"), now))

    def tick(self, now: int) -> Emissions:
        return self._emit(self._engine.tick(now))

    def control(self, control: ControlLog, now: int) -> Emissions:
        budgets: list[Budget] = []
        for document in control.documents("Budget"):
            if not self._owns(document.org):
                continue
            budget, errors = parse_budget(document.org, document.name, document.spec)
            if budget is None:
                log.error("budget ignored", name=document.name, errors=errors)
            else:
                budgets.append(budget)
        return self._emit(self._engine.set_documents(budgets, now))

    def recall(self, topic: str, records: Sequence[Mapping[str, Any]]) -> None:
        mine = [record for record in records if self._owns(record["org"])]
        self._engine.recall(**{topic: mine})

    def caught_up(self, now: int) -> Emissions:
        return self._emit(self._engine.caught_up(now))

    def status(self, now: int) -> list[dict[str, Any]]:
        """Rows of `budget_status`: running windows and those that have ended since the last call."""
        ended, self.ended = self.ended, []
        return [*ended, *self._engine.status(now)]

    def snapshot(self) -> dict[str, Any]:
        return self._engine.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self._engine = BudgetEngine.restore(snapshot)

    def _emit(self, changes: Changes) -> Emissions:
        self.ended += changes.status
        return Emissions(
            {
                "enforcement": [
                    (f"{state['org']}/{state['scope_key']}".encode(), encode("EnforcementState", state))
                    for state in changes.enforcement
                ],
                "alerts": [(alert["alert_id"].encode(), encode("Alert", alert)) for alert in changes.alerts],
            }
        )
