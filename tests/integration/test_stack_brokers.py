"""Both brokers through aiokafka, the client the services use."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from spendstream.runtime.resources import shipped
from spendstream.runtime.stack import kafka_jars
from spendstream.runtime.stack.apache_kafka import ApacheKafka
from spendstream.runtime.stack.kafka_probe import serves
from spendstream.runtime.stack.ports import PortTakenError, free_port
from spendstream.runtime.stack.tansu import BrokerMissingError, Tansu
from tests.support.stack import PATIENCE_S, require_embedded, require_kafka

Broker = Tansu | ApacheKafka


def tansu(folder: Path) -> Broker:
    require_embedded()
    return Tansu(free_port(), folder)


def kafka(folder: Path) -> Broker:
    require_kafka()
    return ApacheKafka(free_port(), folder)


KAFKA = pytest.param(kafka, marks=pytest.mark.kafka, id="kafka")


@pytest.fixture(scope="module", params=[pytest.param(tansu, marks=pytest.mark.embedded, id="tansu"), KAFKA])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that runs; each test leaves it running and has topics of its own."""
    make: Callable[[Path], Broker] = request.param
    broker = make(tmp_path_factory.mktemp("broker"))
    broker.start()
    broker.wait_ready(PATIENCE_S)
    yield broker
    broker.stop()


async def create(bootstrap: str, topic: str, partitions: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()


async def topics(bootstrap: str) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    names: list[str] = await admin.list_topics()
    await admin.close()
    return names


async def produce(bootstrap: str, topic: str, values: list[bytes]) -> list[int]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        return [(await producer.send_and_wait(topic, value, partition=0)).offset for value in values]
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, count: int) -> list[tuple[int, bytes]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.start()
    try:
        return [(m.offset, m.value) for m in [await asyncio.wait_for(consumer.getone(), 60) for _ in range(count)]]
    finally:
        await consumer.stop()


def test_records_come_back_in_order_with_contiguous_offsets(broker: Broker) -> None:
    values = [b"%d" % number for number in range(20)]
    asyncio.run(create(broker.bootstrap, "letters"))
    assert asyncio.run(produce(broker.bootstrap, "letters", values)) == list(range(20))
    assert asyncio.run(consume(broker.bootstrap, "letters", 20)) == list(enumerate(values))


def test_a_taken_port_is_named(broker: Broker, tmp_path: Path) -> None:
    second = type(broker)(broker.port, tmp_path / "second")
    with pytest.raises(PortTakenError, match=rf"port {broker.port} .*--kafka-port"):
        second.start()


def test_a_killed_broker_starts_again_on_its_port(broker: Broker) -> None:
    broker.kill9()
    assert not serves(broker.port)
    broker.start()
    broker.wait_ready(PATIENCE_S)
    assert serves(broker.port)


@pytest.mark.parametrize("broker", [KAFKA], indirect=True)
def test_kafka_keeps_acknowledged_records_through_kill_9(broker: Broker) -> None:
    asyncio.run(create(broker.bootstrap, "kept"))
    values = [b"x" * 1000] * 200
    asyncio.run(produce(broker.bootstrap, "kept", values))
    broker.kill9()
    broker.start()
    broker.wait_ready(PATIENCE_S)
    assert len(asyncio.run(consume(broker.bootstrap, "kept", 200))) == 200
    assert asyncio.run(produce(broker.bootstrap, "kept", [b"next"])) == [200]


@pytest.mark.parametrize("broker", [KAFKA], indirect=True)
def test_kafka_does_not_create_topics_by_typo(broker: Broker) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(produce(broker.bootstrap, "typo", [b"x"]), 3))
    assert "typo" not in asyncio.run(topics(broker.bootstrap))


def test_missing_java_is_said_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerMissingError, match="apt-get install openjdk"):
        ApacheKafka(free_port(), tmp_path / "broker", cache=tmp_path / "cache").start()


def test_missing_maven_is_said_only_while_the_cache_is_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    cache = tmp_path / "cache"
    monkeypatch.setattr("shutil.which", lambda name: str(java) if name == "java" else None)
    assert "apt-get install maven" in str(kafka_jars.why_unavailable(shipped("kafka"), cache))
    folder = cache / f"kafka-{kafka_jars.pinned_version(shipped('kafka') / 'pom.xml')}"
    folder.mkdir(parents=True)
    (folder / "complete").touch()
    assert kafka_jars.why_unavailable(shipped("kafka"), cache) is None


def test_an_old_java_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_402\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert "Java 17 or later, found 8" in str(kafka_jars.why_unavailable(shipped("kafka"), tmp_path / "cache"))
