"""Emissions to Kafka messages: single records and producer-side batches, each in the partition of its event ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from loadgen.disorder import Emission
from loadgen.partitions import partitions_of
from loadgen.wire import UsageEncoder

MAX_BATCH_EVENTS = 1_000


@dataclass(slots=True)
class Expected:
    """One record that must be rejected; the position is known once the broker has acknowledged it."""

    reason: str
    form: str
    event_id: str
    partition: int = -1
    offset: int = -1
    item: int = -1


@dataclass(slots=True)
class Message:
    """One Kafka record. `events`: how many usage events (or undecodable records) it stands for."""

    partition: int
    key: bytes
    value: bytes | None
    events: int
    send_at: int
    expected: list[Expected] = field(default_factory=list)


class Packer:
    """Packs `share` of the messages' events into batches of up to `size`; the order inside a partition is kept."""

    def __init__(self, partitions: int, seed: int, share: float = 0.0, size: int = 500) -> None:
        self._partitions = partitions
        self._share = share
        self._size = min(size, MAX_BATCH_EVENTS)
        self._rng = np.random.default_rng([seed, 0xBA7C])
        self._encoder = UsageEncoder()

    def pack(self, emissions: Sequence[Emission]) -> list[Message]:
        """Messages of one window. A partition's events go out all packed or all single, so none overtakes another."""
        keys = [emission.event_id.encode() for emission in emissions]
        homes = partitions_of(keys, self._partitions).tolist() if keys else []
        queues: list[list[tuple[Emission, bytes]]] = [[] for _ in range(self._partitions)]
        for emission, key, home in zip(emissions, keys, homes, strict=True):
            queues[home].append((emission, key))
        messages: list[Message] = []
        for home, queue in enumerate(queues):
            if self._share and len(queue) > 1 and self._rng.random() < self._share:
                messages += self._packed(home, queue)
            else:
                messages += [self._single(home, emission, key) for emission, key in queue]
        return messages

    def _single(self, home: int, emission: Emission, key: bytes) -> Message:
        value = emission.raw if emission.record is None else self._encoder.single(emission.record)
        message = Message(home, key, value, 1, emission.send_at)
        if emission.reason:
            message.expected.append(Expected(emission.reason, emission.form, emission.event_id, home))
        return message

    def _packed(self, home: int, queue: list[tuple[Emission, bytes]]) -> list[Message]:
        messages: list[Message] = []
        run: list[tuple[Emission, bytes]] = []
        for emission, key in queue:
            alone = emission.record is None or emission.form == "size_limit"
            if run and (alone or len(run) >= self._size):
                messages.append(self._batch(home, run))
                run = []
            if alone:
                messages.append(self._single(home, emission, key))
            else:
                run.append((emission, key))
        if run:
            messages.append(self._batch(home, run))
        return messages

    def _batch(self, home: int, run: list[tuple[Emission, bytes]]) -> Message:
        value = self._encoder.batch([emission.record for emission, _ in run if emission.record is not None])
        message = Message(home, run[0][1], value, len(run), run[0][0].send_at)
        for item, (emission, _) in enumerate(run):
            if emission.reason:
                expected = Expected(emission.reason, emission.form, emission.event_id, home, item=item)
                message.expected.append(expected)
        return message
