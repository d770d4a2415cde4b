"""The file catalogue: Avro records, their wire ids, and the topics that carry them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import yaml

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Topic:
    """One declared topic.

    `partitions_of` names a topic whose partition count this one must share; `internal` topics are ours alone.
    """

    name: str
    doc: str
    key: str
    records: tuple[str, ...]
    partitions: int = 1
    partitions_of: str = ""
    retention_hours: int | None = None
    compacted: bool = False
    min_compaction_lag_hours: int | None = None
    dead_letters: bool = False
    internal: bool = False

    def config(self) -> dict[str, str]:
        """Broker settings of the topic."""
        settings = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            # Horizons, "ahead of time" and retention go by the broker's clock, never by a producer's.
            "message.timestamp.type": "LogAppendTime",
        }
        if self.retention_hours is not None:
            settings["retention.ms"] = str(self.retention_hours * HOUR_MS)
        if self.min_compaction_lag_hours is not None:
            settings["min.compaction.lag.ms"] = str(self.min_compaction_lag_hours * HOUR_MS)
        return settings


def directory() -> Path:
    """Folder of the declarations: inside the installed package, or in the checkout."""
    shipped = Path(__file__).parents[1] / "_shipped" / "schemas"
    return shipped if shipped.is_dir() else Path(__file__).parents[3] / "schemas"


@cache
def _declarations() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((directory() / "topics.yaml").read_text())
    return loaded


@cache
def schema_ids() -> Mapping[str, int]:
    """Wire id of each record's current version."""
    return {entry["record"]: int(entry["id"]) for entry in _declarations()["schemas"]}


@cache
def released_ids() -> Mapping[int, tuple[str, int]]:
    """Record and version behind every wire id that was ever given out."""
    return {int(entry["id"]): (entry["record"], int(entry["version"])) for entry in _declarations()["schemas"]}


@cache
def released_schema(schema_id: int) -> Any:
    """Parsed Avro schema a wire id stands for, as it was released."""
    record, version = released_ids()[schema_id]
    text = (directory() / "released" / f"{record}-v{version}.avsc").read_text()
    return fastavro.parse_schema(json.loads(text))


@cache
def record_json(record: str) -> str:
    """Avro JSON of a record, self-contained (named references inlined)."""
    raw = json.loads((directory() / f"{record}.avsc").read_text())
    return json.dumps(_inline(raw))


def _inline(node: Any) -> Any:
    """Replace `spendstream.Other` references by the record they name (each is used once a file)."""
    if isinstance(node, str) and node.startswith("spendstream."):
        return json.loads(record_json(node.removeprefix("spendstream.")))
    if isinstance(node, list):
        return [_inline(item) for item in node]
    if isinstance(node, dict):
        return {key: _inline(value) if key in ("type", "items", "fields") else value for key, value in node.items()}
    return node


@cache
def record_schema(record: str) -> Any:
    """Parsed Avro schema of a record, as fastavro wants it."""
    return fastavro.parse_schema(json.loads(record_json(record)))


@cache
def plain_schema(record: str) -> Any:
    """The same without logical types: times stay the integers they are on the wire, whatever the calendar says."""
    return fastavro.parse_schema(_without_logical_types(json.loads(record_json(record))))


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    return node


@cache
def topics() -> Mapping[str, Topic]:
    """All topics by name, the dead-letter topics included."""
    found: dict[str, Topic] = {}
    for section in ("topics", "internal"):
        for name, spec in _declarations()[section].items():
            fields = {**spec, "records": tuple(spec["records"])}
            found[name] = Topic(name=name, internal=section == "internal", **fields)
    for topic in list(found.values()):
        if topic.dead_letters:
            name = f"{topic.name}-dlq"
            found[name] = Topic(
                name=name,
                doc=f"What {topic.name} could not take: reason, origin and original bytes.",
                key="origin",
                records=("DeadLetter",),
                retention_hours=336,
            )
    return found
