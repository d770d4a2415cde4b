"""The one way a record is rejected for ever: `<topic>-dlq` with reason, origin and original bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from spendstream.runtime import clock, metrics
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.kafka.transport import Record
from spendstream.schemas import encode

KEPT_BYTES = 900_000


@dataclass(frozen=True)
class Rejection:
    """One rejected record, or one member of a batch (`item` >= 0) with its own bytes in `payload`."""

    record: Record
    item: int
    reason: str
    detail: str
    payload: bytes | None
    org: str = ""
    event_id: str = ""


class DeadLetters:
    """Writes rejections of one topic, keyed by origin: written again after a replay they are the same letters."""

    def __init__(self, publisher: Publisher, service: str, topic: str) -> None:
        self._publisher = publisher
        self._service = service
        self._topic = topic

    async def send(self, incarnation: str, partition: int, rejections: Sequence[Rejection]) -> None:
        """Return once the broker has them. `NotNowError` when it is away."""
        messages = [self._message(incarnation, partition, rejection) for rejection in rejections]
        await self._publisher.send(f"{self._topic}-dlq", messages)
        for rejection in rejections:
            metrics.dead_letters_total.labels(self._topic, rejection.reason).inc()

    def _message(self, incarnation: str, partition: int, rejection: Rejection) -> tuple[bytes, bytes]:
        record, payload = rejection.record, rejection.payload
        letter = {
            "reason": rejection.reason,
            "detail": rejection.detail[:1000],
            "service": self._service,
            "topic": self._topic,
            "incarnation": incarnation,
            "partition": partition,
            "offset": record.offset,
            "item": rejection.item,
            "appended_at": (record.timestamp or 0) * 1_000,
            "key": record.key[:10_000] if record.key is not None else None,
            "payload": payload[:KEPT_BYTES] if payload is not None else None,
            "truncated": payload is not None and len(payload) > KEPT_BYTES,
            "rejected_at": clock.now_us(),
            "org": rejection.org[:1000],
            "event_id": rejection.event_id[:1000],
        }
        origin = f"{self._topic}/{incarnation}/{partition}/{record.offset}/{rejection.item}"
        return origin.encode(), encode("DeadLetter", letter)
