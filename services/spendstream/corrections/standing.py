"""Whether every correction on the topic has been taken in: only then do charges in ClickHouse stand as they do."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from spendstream.corrections.publish import TOPIC
from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.kafka.reader import log_bounds, partition_reader
from spendstream.runtime.kafka.topic_id import topic_id
from spendstream.runtime.settings import Settings


@dataclass(frozen=True)
class TopicEnds:
    """What is on the topic at a moment: its id (None: the broker has none to give) and the end of each partition."""

    identity: str | None
    ends: Sequence[int]


def incarnation_of(identity: str | None, generation: int) -> str:
    """Name of a corrections topic: its id, or where the broker has none to give, how many have been seen."""
    return identity if identity is not None else f"unidentified-{generation}"


async def topic_ends(settings: Settings, partitions: int) -> TopicEnds:
    """Ends of the topic now. `KafkaError` when the broker is away."""
    async with partition_reader(settings, TOPIC, 0, 0) as consumer:
        identity = await topic_id(consumer, TOPIC)
        bounds = [await log_bounds(consumer, TopicPartition(TOPIC, partition)) for partition in range(partitions)]
    return TopicEnds(identity, [end for _, end in bounds])


async def not_taken_in(clickhouse: ClickHouse, topic: TopicEnds) -> int:
    """Records of corrections below these ends that are not in the table yet."""
    newest = "select argMax(incarnation, written_at) from correction_positions"
    rows = await clickhouse.query(
        "select partition, max(last) from correction_positions"
        f" where incarnation = {'{incarnation:String}' if topic.identity else f'({newest})'} group by partition",
        {"incarnation": topic.identity or ""},
    )
    have = {int(partition): int(last) for partition, last in rows}
    return sum(max(0, end - 1 - have.get(partition, -1)) for partition, end in enumerate(topic.ends))
