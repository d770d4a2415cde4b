"""Roll-up rows onto `costs`."""

from collections import defaultdict
from collections.abc import Iterable

from spendstream.runtime.kafka.publisher import Message, Publisher, org_partition


async def publish_costs(publisher: Publisher, found: Iterable[tuple[str, Message]]) -> None:
    """Send `rows.cost_messages`: all rows of an organisation to one partition, in order. Raises `NotNowError`."""
    partitions = await publisher.partitions("costs")
    messages: dict[int, list[Message]] = defaultdict(list)
    for org, message in found:
        messages[org_partition(org, partitions)].append(message)
    for partition, batch in messages.items():
        await publisher.send("costs", batch, partition=partition)
