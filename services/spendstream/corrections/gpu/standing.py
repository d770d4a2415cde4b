"""Whether every correction of GPU readings has been taken in: only then do readings in ClickHouse stand as they do."""

from typing import Final

from aiokafka import TopicPartition

from spendstream.corrections.gpu.publish import TOPIC
from spendstream.runtime.kafka.groups import committed
from spendstream.runtime.kafka.incarnations import end_of
from spendstream.runtime.settings import Settings

GROUP: Final = "attribution-gpu-corrections"


async def not_taken_in(settings: Settings, partitions: int) -> int:
    """Records on the topic that are not in the table yet. `KafkaError` when the broker is away."""
    ends = {TopicPartition(TOPIC, i): await end_of(settings, TOPIC, i) for i in range(partitions)}
    have = await committed(settings, [GROUP], ends)
    return sum(max(0, end - have.get((GROUP, tp), 0)) for tp, end in ends.items())
