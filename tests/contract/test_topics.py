"""`schemas/topics.yaml` agrees with itself, with the records, and with the public contract."""

from typing import Any

import pytest
import yaml

from spendstream.schemas import Topic, topics
from spendstream.schemas.catalogue import directory, record_schema, schema_ids

#: The public topics: key, records, compacted.
PUBLIC = {
    "usage": ("event_id", ("Usage", "UsageBatch"), False),
    "gpu-telemetry": ("gpu_uuid", ("GpuSample",), False),
    "billing": ("provider + period + line id", ("BillingItem",), False),
    "control": ("kind/name (Price adds effective_from and revision)", ("ControlDocument",), True),
    "costs": ("dimensions hash", ("CostRollup",), False),
    "corrections": ("none", ("Correction", "CorrectionBatch"), False),
    "gpu-corrections": ("gpu_uuid", ("GpuCorrection",), False),
    "alerts": ("alert id", ("Alert",), False),
    "enforcement": ("scope", ("EnforcementState",), True),
    "recommendations": ("recommendation id", ("Recommendation",), True),
}
#: Topics whose records come from outside or may be malformed: what they cannot take must have somewhere to go.
WITH_DEAD_LETTERS = {"usage", "gpu-telemetry", "billing", "costs"}


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((directory() / "topics.yaml").read_text())
    return loaded


def named(name: str) -> Topic:
    return topics()[name]


def test_every_topic_of_the_public_contract_is_declared_with_its_key_and_records() -> None:
    public = [topic for topic in topics().values() if not topic.internal and not topic.name.endswith("-dlq")]
    assert {topic.name: (topic.key, topic.records, topic.compacted) for topic in public} == PUBLIC


def test_wire_ids_and_records_are_unique_and_ids_count_from_one(declared: dict[str, Any]) -> None:
    ids = [entry["id"] for entry in declared["schemas"]]
    versions = [(entry["record"], entry["version"]) for entry in declared["schemas"]]
    assert ids == list(range(1, len(ids) + 1)), "an id is for ever: append, never reuse or renumber"
    assert len(set(versions)) == len(versions)


def test_every_record_travels_on_some_topic_and_every_topic_carries_known_records() -> None:
    assert {record for topic in topics().values() for record in topic.records} == set(schema_ids())


@pytest.mark.parametrize("name", sorted(WITH_DEAD_LETTERS))
def test_a_topic_that_may_refuse_records_has_a_dead_letter_topic_of_its_name(name: str) -> None:
    letters = named(f"{name}-dlq")
    assert letters.records == ("DeadLetter",)
    assert letters.retention_hours is not None and not letters.compacted


def test_no_other_topic_has_dead_letters() -> None:
    assert {name for name in topics() if name.endswith("-dlq")} == {f"{name}-dlq" for name in WITH_DEAD_LETTERS}


def test_every_topic_says_what_it_is_for_and_has_a_hyphenated_name() -> None:
    for topic in topics().values():
        assert topic.doc.endswith(".") and topic.key
        assert topic.name.replace("-", "").isalpha() and topic.name.islower()


def test_a_topic_is_compacted_or_says_how_long_it_keeps() -> None:
    for topic in topics().values():
        assert topic.compacted != (topic.retention_hours is not None), topic.name
        assert topic.partitions >= 1


def test_a_topic_that_follows_anothers_partitions_follows_one_that_exists() -> None:
    followers = [topic for topic in topics().values() if topic.partitions_of]
    assert [(topic.name, topic.partitions_of) for topic in followers] == [("attribution-plans", "usage")]
    assert "usage" in topics()


def test_dead_letters_outlive_the_records_they_came_from_on_usage() -> None:
    usage, letters = named("usage").retention_hours, named("usage-dlq").retention_hours
    assert usage is not None and letters is not None and letters >= usage


def test_broker_settings_follow_from_the_declaration() -> None:
    stamp = {"message.timestamp.type": "LogAppendTime"}
    assert named("usage").config() == {"cleanup.policy": "delete", "retention.ms": str(72 * 3_600_000), **stamp}
    kept = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(168 * 3_600_000)}
    assert named("control").config() == {**kept, **stamp}


@pytest.mark.parametrize(
    ("topic", "columns"),
    [("usage", {"event_id"}), ("gpu-telemetry", {"gpu_uuid"}), ("gpu-corrections", {"gpu_uuid"}),
     ("alerts", {"alert_id"}), ("enforcement", {"scope_key"}), ("recommendations", {"recommendation_id"}),
     ("billing", {"provider_name", "billing_period_start", "line_id"}), ("control", {"kind", "name"})],
)  # fmt: skip
def test_what_a_key_is_made_of_is_a_field_of_the_record(topic: str, columns: set[str]) -> None:
    record = record_schema(named(topic).records[0])
    assert columns <= {field["name"] for field in record["fields"]}
