"""Whether every correction on the topic has been taken in: only then do charges in ClickHouse stand as they do."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from spendstream.corrections.publish import TOPIC
from spendstream.runtime.clickhouse.writer import ClickHouse
from spendstream.runtime.kafka.reader import log_bounds, partition_reader
from spendstream.runtime.kafka.topic_id import topic_id
from spendstream.runtime.settings import Settings


def incarnation_of(identity: str | None, generation: int) -> str:
    """Name of a corrections topic: its id, or where the broker has none to give, how many have been seen."""
    return identity if identity is not None else f"unidentified-{generation}"


async def not_taken_in(settings: Settings, clickhouse: ClickHouse, partitions: int) -> int:
    """Corrections on the topic that are not in the table yet. `KafkaError` when the broker is away."""
    async with partition_reader(settings, TOPIC, 0, 0) as consumer:
        identity = await topic_id(consumer, TOPIC)
        ends = [await _end(consumer, partition) for partition in range(partitions)]
    newest = "select argMax(incarnation, written_at) from correction_positions"
    rows = await clickhouse.query(
        "select partition, max(last) from correction_positions"
        f" where incarnation = {'{incarnation:String}' if identity else f'({newest})'} group by partition",
        {"incarnation": identity or ""},
    )
    have = {int(partition): int(last) for partition, last in rows}
    return sum(max(0, end - 1 - have.get(partition, -1)) for partition, end in enumerate(ends) if end)


async def _end(consumer: AIOKafkaConsumer, partition: int) -> int:
    return (await log_bounds(consumer, TopicPartition(TOPIC, partition)))[1]
