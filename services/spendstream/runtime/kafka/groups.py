"""How far consumer groups have read."""

from collections.abc import Iterable

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from spendstream.runtime.settings import Settings


async def committed(
    settings: Settings, groups: Iterable[str], partitions: Iterable[TopicPartition]
) -> dict[tuple[str, TopicPartition], int]:
    """Next offset each group will read, where it has committed one."""
    wanted, found = list(partitions), {}
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        for group in groups:
            offsets = await admin.list_consumer_group_offsets(group, partitions=wanted)
            found.update({(group, tp): meta.offset for tp, meta in offsets.items() if meta.offset >= 0})
    finally:
        await admin.close()
    return found
