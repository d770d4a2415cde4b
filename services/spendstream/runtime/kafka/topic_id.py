"""The UUID a broker gave a topic: another one after the topic was deleted and created again.

aiokafka speaks Metadata up to version 5; topic ids came with version 10 and are reliable from 12 on, so the request is
declared here with aiokafka's own building blocks.
"""

import uuid
from io import BytesIO
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

NO_ID = bytes(16)


class Uuid(AbstractType):  # type: ignore[misc]  # aiokafka is untyped
    """Sixteen raw bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


TEXT = CompactString("utf-8")
TAGS = ("tags", TaggedFields)


class MetadataResponse_v12(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT), TAGS)),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", TEXT),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                TAGS,
            ),
        ),
        TAGS,
    )


class MetadataRequest_v12(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponse_v12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", TEXT), TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        TAGS,
    )


class TopicIdRequest(Request[MetadataRequest_v12]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([(NO_ID, self._topic, {})], False, False, {})


async def topic_id(consumer: AIOKafkaConsumer, topic: str) -> str | None:
    """Twelve hexadecimal digits of the topic's id; None where the broker has none to give."""
    client = consumer._client
    try:
        answer = await client.send(client.get_random_node(), TopicIdRequest(topic))
    except (NotImplementedError, KafkaError):  # a broker older than topic ids
        return None
    for error, name, identity, *_ in answer.topics:
        if name == topic and not error and identity != NO_ID:
            return uuid.UUID(bytes=identity).hex[:12]
    return None
