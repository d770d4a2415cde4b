"""What the broker says about `usage` now: incarnations, and how far each partition goes."""

import asyncio

from spendstream.operations.positions import Range
from spendstream.runtime.kafka.reader import partition_reader, read_tail
from spendstream.runtime.kafka.topic_id import topic_id
from spendstream.runtime.settings import Settings
from spendstream.schemas import decode

TOPIC = "usage"
PLANS = "attribution-plans"


async def incarnations(settings: Settings, partitions: int) -> dict[int, str]:
    """Incarnation of each partition, as attribution names it: the topic's id, else what the plan log says.

    A partition of a broker without topic ids is missing as long as attribution has not seen it.
    """
    async with partition_reader(settings, TOPIC, 0, 0) as consumer:
        identity = await topic_id(consumer, TOPIC)
    if identity is not None:
        return dict.fromkeys(range(partitions), identity)
    tails = await asyncio.gather(*(read_tail(settings, PLANS, 1, partition) for partition in range(partitions)))
    return {partition: str(decode(tail[-1].value)[1]["incarnation"]) for partition, tail in enumerate(tails) if tail}


async def last_records(settings: Settings, found: dict[int, str]) -> list[Range]:
    """The newest record of each partition that has one, as a range of one offset."""
    # Not the end of the log: a transaction marker behind the last record is never planned.
    tails = await asyncio.gather(*(read_tail(settings, TOPIC, 2, partition) for partition in found))
    return [
        Range(incarnation, partition, tail[-1].offset, tail[-1].offset)
        for (partition, incarnation), tail in zip(found.items(), tails, strict=True)
        if tail
    ]
