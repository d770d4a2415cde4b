"""Whether topics are still those whose offsets were stored.

A topic that was deleted and created again (or an in-memory broker that was restarted) counts from zero: an offset of
the old one says nothing about the new one. The broker's topic id tells; without ids, only an end before what was read.
"""

from collections.abc import Collection, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from spendstream.runtime.kafka.reader import log_bounds, partition_reader
from spendstream.runtime.kafka.topic_id import topic_id
from spendstream.runtime.retry import NotNowError
from spendstream.runtime.settings import Settings

#: Topic → id the broker gave it; None where it has none to give.
TopicIds = Mapping[str, str | None]


async def topic_ids(settings: Settings, topics: Collection[str]) -> dict[str, str | None]:
    """Ids as they are now. `NotNowError` when the broker is away."""
    consumer = AIOKafkaConsumer(**settings.kafka(), enable_auto_commit=False)
    try:
        await consumer.start()
        return {topic: await topic_id(consumer, topic) for topic in topics}
    except (KafkaError, OSError) as error:
        raise NotNowError(f"asking for topic ids: {error!r}") from error
    finally:
        await consumer.stop()


def recreated(stored: TopicIds, now: TopicIds) -> set[str]:
    """Topics that are not those whose ids were stored; one without an id, then or now, is believed."""
    return {topic for topic, known in stored.items() if known and now.get(topic) and known != now[topic]}


def merged(stored: TopicIds, now: TopicIds) -> dict[str, str | None]:
    """What to store next: the ids of now, and the stored one where the broker gave none."""
    return {topic: now[topic] or stored.get(topic) for topic in now}


async def end_of(settings: Settings, topic: str, partition: int) -> int:
    """End of a partition as a fetch reports it."""
    async with partition_reader(settings, topic, partition, 0) as consumer:
        return (await log_bounds(consumer, TopicPartition(topic, partition)))[1]
