"""The anomaly engine as a lane wants it: documents in, Avro messages out."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from spendstream.cost_stream.engine import Emissions
from spendstream.cost_stream.processor import Owns
from spendstream.domain.anomalies import AnomalyEngine
from spendstream.runtime.control import ControlLog
from spendstream.schemas import encode

KINDS = ("anomaly", "governance")


class AnomalyLane:
    """Anomalies of the organisations of one partition of `costs`."""

    recalls = ("alerts",)

    def __init__(self, owns: Owns, source_partitions: int) -> None:
        self._owns = owns
        self._engine = AnomalyEngine(source_partitions=source_partitions)

    def update(self, deltas: pl.DataFrame, now: int) -> Emissions:
        return _emit(self._engine.update(deltas, now))

    def tick(self, now: int) -> Emissions:
        return _emit(self._engine.tick(now))

    def control(self, control: ControlLog, now: int) -> Emissions:
        documents = control.documents("Policy")
        self._engine.set_documents(
            {"org": document.org, "kind": document.kind, "name": document.name, "spec": document.spec}
            for document in documents
        )
        return Emissions()

    def recall(self, topic: str, records: Sequence[Mapping[str, Any]]) -> None:
        self._engine.recall(record for record in records if record["kind"] in KINDS and self._owns(record["org"]))

    def caught_up(self, now: int) -> Emissions:
        return Emissions()

    def snapshot(self) -> dict[str, Any]:
        return self._engine.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self._engine.restore(snapshot)


def _emit(alerts: Sequence[Mapping[str, Any]]) -> Emissions:
    return Emissions({"alerts": [(alert["alert_id"].encode(), encode("Alert", dict(alert))) for alert in alerts]})
