"""Creating and checking topics from their declarations."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from spendstream.runtime.settings import Settings
from spendstream.schemas import Topic, topics


@dataclass(frozen=True)
class TopicState:
    """What `apply_topics` found or did: created, ok, or the difference."""

    name: str
    partitions: int
    state: str


def _partitions(topic: Topic, declared: Mapping[str, Topic], existing: Mapping[str, int]) -> int:
    """Partitions a topic should have; one tied to another topic follows that topic's real count."""
    if topic.partitions_of:
        return existing.get(topic.partitions_of, declared[topic.partitions_of].partitions)
    return topic.partitions


async def partition_counts(settings: Settings) -> dict[str, int]:
    """Partitions of every declared topic that exists on the broker."""
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        names = sorted(set(await admin.list_topics()) & set(topics()))
        if not names:
            return {}
        described = await admin.describe_topics(names)
        return {entry["topic"]: len(entry["partitions"]) for entry in described}
    finally:
        await admin.close()


async def apply_topics(
    settings: Settings, partitions: int | None = None, replication_factor: int = 1
) -> list[TopicState]:
    """Create what is missing; report what differs. `partitions` overrides the count of `usage`."""
    existing = await partition_counts(settings)
    declared = dict(topics())
    if partitions is not None:
        existing = {"usage": partitions, **existing}
    states: list[TopicState] = []
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        present = set(await admin.list_topics())
        for topic in declared.values():
            count = existing.get(topic.name) or _partitions(topic, declared, existing)
            if topic.name in present:
                wanted = _partitions(topic, declared, existing)
                state = "ok" if count == wanted else f"has {count} partitions, declared {wanted}"
            else:
                state = await _create(admin, topic, count, replication_factor)
            states.append(TopicState(topic.name, count, state))
    finally:
        await admin.close()
    await _settle(settings)
    return states


async def _create(admin: AIOKafkaAdminClient, topic: Topic, partitions: int, replication_factor: int) -> str:
    new = NewTopic(topic.name, partitions, replication_factor, topic_configs=topic.config())
    try:
        response = await admin.create_topics([new])
    except TopicAlreadyExistsError:
        return "ok"
    for name, code, *rest in getattr(response, "topic_errors", []):
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"creating {name}: {rest[0] if rest else ''}")
    return "created"


async def _settle(settings: Settings) -> None:
    """Wait until every topic has a leader: a producer can look its partitions up."""
    producer = AIOKafkaProducer(**settings.kafka())
    await producer.start()
    try:
        for name in topics():
            await producer.partitions_for(name)
    finally:
        await producer.stop()
