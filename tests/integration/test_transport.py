"""The chunked transport on real brokers: two workers, rebalances, `kill -9`, gaps in the log, and what it is built on.

The parts of faust and aiokafka that it overrides are private: their shape is pinned here, so an upgrade fails loudly.
"""

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as stock

from spendstream.runtime.kafka import transport
from spendstream.runtime.kafka.bare_records import leave_records_bare
from tests.support.stack import PATIENCE_S, Stack, eventually

WORKER = Path(__file__).with_name("transport_worker.py")
PARTITIONS = 3


LONG_ON_TANSU = [
    pytest.param("tansu_stack", marks=[pytest.mark.embedded, pytest.mark.long]),
    pytest.param("kafka_stack", marks=pytest.mark.kafka),
]


@pytest.fixture(params=LONG_ON_TANSU)
def stack(request: pytest.FixtureRequest) -> Stack:
    found: Stack = request.getfixturevalue(request.param)
    return found


class Worker:
    """One process, and what it has written down."""

    def __init__(self, stack: Stack, topic: str, home: Path, options: Mapping[str, float]) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.seen = home / "seen.txt"
        self.log = home / "log.txt"
        arguments = [stack.bootstrap, f"group-{topic}", topic, str(home), json.dumps(options)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), *arguments], stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": "services"},
            )  # fmt: skip

    def lines(self) -> list[str]:
        text = self.seen.read_text() if self.seen.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def stints(self) -> list[dict[int, list[int]]]:
        """Offsets by partition, from each assignment to the next."""
        found: list[dict[int, list[int]]] = []
        for line in self.lines():
            kind, _, rest = line.partition(" ")
            if kind == "assigned":
                found.append({int(number): [] for number in rest.split(",") if number})
            elif kind == "run":
                partition, offsets = rest.split(" ")
                found[-1][int(partition)] += map(int, offsets.split(","))
        return found

    def offsets(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {partition: set() for partition in range(PARTITIONS)}
        for stint in self.stints():
            for partition, offsets in stint.items():
                found[partition] |= set(offsets)
        return found

    @property
    def partitions(self) -> set[int]:
        """What it holds now."""
        stints = self.stints()
        return set(stints[-1]) if stints and self.lines()[-1] != "revoked" else set()

    def end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


class Field:
    """A topic of its own, and workers on it."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.topic = f"t-{uuid.uuid4().hex[:8]}"
        self.workers: list[Worker] = []
        asyncio.run(self._create())

    async def _create(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.stack.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])
        await admin.close()

    def worker(self, pause_s: float = 0.0, records: int = 50, **options: int) -> Worker:
        """Start one; `start` and `fail_at` as in transport_worker.py."""
        told = {"pause_s": pause_s, "records": records, **options}
        self.workers.append(Worker(self.stack, self.topic, self.folder / str(len(self.workers)), told))
        return self.workers[-1]

    def produce(self, count: int, **options: Any) -> dict[int, set[int]]:
        """Send records to all partitions; offsets by partition. `transaction_size`: that many in each transaction."""
        return asyncio.run(self._produce(count, **options))

    async def _produce(self, count: int, transaction_size: int = 0) -> dict[int, set[int]]:
        identity = {"transactional_id": f"tx-{uuid.uuid4().hex}"} if transaction_size else {}
        producer = AIOKafkaProducer(bootstrap_servers=self.stack.bootstrap, **identity)
        await producer.start()
        sent: list[Any] = []
        try:
            if transaction_size:
                for start in range(0, count, transaction_size):
                    async with producer.transaction():
                        for i in range(start, start + transaction_size):
                            sent.append(await producer.send(self.topic, b"%d" % i, partition=i % PARTITIONS))
            else:
                sent = [await producer.send(self.topic, b"%d" % i, partition=i % PARTITIONS) for i in range(count)]
            answers = [await future for future in sent]
        finally:
            await producer.stop()
        return {p: {a.offset for a in answers if a.partition == p} for p in range(PARTITIONS)}

    def committed(self) -> dict[int, int]:
        async def ask() -> dict[int, int]:
            consumer = AIOKafkaConsumer(bootstrap_servers=self.stack.bootstrap, group_id=f"group-{self.topic}")
            await consumer.start()
            try:
                found = {p: await consumer.committed(TopicPartition(self.topic, p)) for p in range(PARTITIONS)}
            finally:
                await consumer.stop()
            return {partition: offset or 0 for partition, offset in found.items()}

        return asyncio.run(ask())

    def seen(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {partition: set() for partition in range(PARTITIONS)}
        for worker in self.workers:
            for partition, offsets in worker.offsets().items():
                found[partition] |= offsets
        return found

    def until(self, holds: Callable[[], bool], timeout: float = PATIENCE_S) -> None:
        try:
            eventually(holds, timeout, every=0.2)
        except AssertionError as error:
            tails = "\n".join(
                f"--- worker {i}: {worker.lines()[-3:]}\n{worker.log.read_text()[-1500:]}"
                for i, worker in enumerate(self.workers)
            )
            raise AssertionError(f"seen { ({p: len(s) for p, s in self.seen().items()}) }\n{tails}") from error


@contextmanager
def field_of(stack: Stack, folder: Path) -> Iterator[Field]:
    made = Field(stack, folder)
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.end(signal.SIGKILL)


@pytest.fixture
def field(stack: Stack, tmp_path: Path) -> Iterator[Field]:
    with field_of(stack, tmp_path) as made:
        yield made


@pytest.fixture
def kafka_field(kafka_stack: Stack, tmp_path: Path) -> Iterator[Field]:
    with field_of(kafka_stack, tmp_path) as made:
        yield made


def in_order(worker: Worker) -> bool:
    """Within an assignment every offset of a partition is greater than the one before."""
    return all(offsets == sorted(set(offsets)) for stint in worker.stints() for offsets in stint.values())


def union(parts: Sequence[dict[int, set[int]]]) -> dict[int, set[int]]:
    return {partition: set().union(*(part[partition] for part in parts)) for partition in range(PARTITIONS)}


def test_two_workers_share_the_partitions_and_nothing_is_lost_or_out_of_order(field: Field) -> None:
    first = field.worker(pause_s=0.02)
    sent = [field.produce(1_500)]
    field.until(lambda: bool(first.lines()))
    second = field.worker(pause_s=0.02)
    sent.append(field.produce(1_500))
    # Each says for itself what it holds, and a moment apart.
    field.until(
        lambda: bool(second.partitions) and sorted([*first.partitions, *second.partitions]) == [*range(PARTITIONS)]
    )
    sent.append(field.produce(1_500))
    field.until(lambda: field.seen() == union(sent))
    assert in_order(first) and in_order(second)
    ends = {partition: max(offsets) + 1 for partition, offsets in union(sent).items()}
    field.until(lambda: field.committed() == ends)


def test_a_rebalance_in_the_middle_of_a_backlog_leaves_no_worker_standing(field: Field) -> None:
    # Far more runs are waiting than a partition queues, so the delivering task waits for room when the partitions go.
    sent = field.produce(6_000)
    first = field.worker(pause_s=0.05, records=20)
    field.until(lambda: any(line.startswith("run") for line in first.lines()))
    second = field.worker(pause_s=0.0, records=20)
    field.until(lambda: bool(second.partitions))
    field.until(lambda: field.seen() == sent)
    assert in_order(first) and in_order(second)


def test_after_kill_9_the_other_worker_takes_over_and_nothing_is_lost(field: Field) -> None:
    first, second = field.worker(pause_s=0.02), field.worker(pause_s=0.02)
    sent = [field.produce(900)]
    field.until(lambda: first.partitions | second.partitions == set(range(PARTITIONS)))
    sent.append(field.produce(900))
    first.end(signal.SIGKILL)
    sent.append(field.produce(900))
    field.until(lambda: second.partitions == set(range(PARTITIONS)))
    field.until(lambda: field.seen() == union(sent))
    assert in_order(first) and in_order(second)
    ends = {partition: max(offsets) + 1 for partition, offsets in union(sent).items()}
    field.until(lambda: field.committed() == ends)


def test_what_was_fetched_across_a_rebalance_is_read_again_although_nothing_was_ever_committed(field: Field) -> None:
    first = field.worker(pause_s=3_600)
    sent = [field.produce(900)]
    field.until(lambda: first.partitions == set(range(PARTITIONS)))
    second = field.worker()
    field.until(lambda: bool(second.partitions))
    sent.append(field.produce(900))
    first.end(signal.SIGKILL)
    sent.append(field.produce(900))
    field.until(lambda: second.offsets() == union(sent))
    assert in_order(second)


def test_a_stop_ends_cleanly_and_the_next_start_repeats_nothing_that_was_committed(field: Field) -> None:
    sent = field.produce(300)
    first = field.worker()
    field.until(lambda: field.seen() == sent)
    ends = {partition: max(offsets) + 1 for partition, offsets in sent.items()}
    field.until(lambda: field.committed() == ends)
    assert first.end(signal.SIGTERM) == 0
    second = field.worker()
    more = field.produce(300)
    field.until(lambda: field.seen() == union([sent, more]))
    assert second.offsets() == more


@pytest.mark.parametrize(
    "start", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(40, marks=pytest.mark.long)]
)
def test_a_processor_whose_state_stands_earlier_than_the_commit_reads_everything_from_there(
    field: Field, start: int
) -> None:
    sent = field.produce(300)
    first = field.worker()
    ends = {partition: max(offsets) + 1 for partition, offsets in sent.items()}
    field.until(lambda: field.committed() == ends)
    assert first.end(signal.SIGTERM) == 0
    heir = field.worker(records=7, start=start)
    more = field.produce(90)
    wanted = {p: {offset for offset in sent[p] | more[p] if offset >= start} for p in sent}
    field.until(lambda: heir.offsets() == wanted)
    assert in_order(heir)
    field.until(lambda: field.committed() == {partition: end + 30 for partition, end in ends.items()})


@pytest.mark.kafka
@pytest.mark.long
def test_state_that_takes_longer_to_load_than_a_request_may_is_waited_for(kafka_field: Field) -> None:
    # Faust gives a seek as long as a request (90 s) and then stands still without a word; a rebuild may take longer.
    sent = kafka_field.produce(300)
    kafka_field.worker(load_s=14, request_timeout_s=8)
    kafka_field.until(lambda: kafka_field.seen() == sent)


def test_a_run_that_cannot_be_processed_ends_the_process_with_an_error_and_stays_uncommitted(field: Field) -> None:
    sent = field.produce(300)
    worker = field.worker(records=10, fail_at=55)
    assert worker.process.wait(120) != 0
    assert all(offset <= 50 for offset in field.committed().values())
    heir = field.worker()
    field.until(lambda: union([worker.offsets(), heir.offsets()]) == sent)


@pytest.mark.kafka
def test_committed_offsets_pass_the_gaps_that_transactions_leave(kafka_field: Field) -> None:
    # Every transaction ends with a control record that no consumer sees; stock faust's commits stand still there.
    sent = kafka_field.produce(300, transaction_size=10)
    assert any(max(offsets) + 1 > len(offsets) for offsets in sent.values()), "there are gaps"
    worker = kafka_field.worker(records=7)
    kafka_field.until(lambda: kafka_field.seen() == sent)
    ends = {partition: max(offsets) + 1 for partition, offsets in sent.items()}
    kafka_field.until(lambda: kafka_field.committed() == ends)
    assert worker.end(signal.SIGTERM) == 0
    heir = kafka_field.worker(records=7)
    more = kafka_field.produce(90, transaction_size=3)
    kafka_field.until(lambda: kafka_field.seen() == union([sent, more]))
    assert heir.offsets() == more


def test_the_versions_it_was_written_against_are_installed() -> None:
    assert (version("faust-streaming"), version("aiokafka")) == ("0.15.3", "0.14.0"), (
        "read transport.py against the new version's Consumer, then change the versions here"
    )


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (faust_consumer.Consumer, "getmany", ["self", "timeout"]),
        (faust_consumer.Consumer, "_wait_next_records", ["self", "timeout"]),
        (faust_consumer.Consumer, "_new_offset", ["self", "tp"]),
        (faust_consumer.Consumer, "_add_gap", ["self", "tp", "offset_from", "offset_to"]),
        (faust_consumer.Consumer, "perform_seek", ["self"]),
        (faust_consumer.Consumer, "ack", ["self", "message"]),
        (faust_consumer.Consumer, "seek_wait", ["self", "partitions"]),
        (stock.Consumer, "_new_consumer_thread", ["self"]),
        (stock.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
        (
            stock.AIOKafkaConsumerThread,
            "_fetch_records",
            ["self", "consumer", "active_partitions", "timeout", "max_records"],
        ),
        (fetcher.Fetcher, "_proc_fetch_request", ["self", "assignment", "node_id", "request"]),
        (fetcher.PartitionRecords, "_consumer_record", ["self", "tp", "record"]),
    ],
)
def test_private_methods_it_overrides_or_calls_have_the_shape_it_knows(
    owner: type, name: str, parameters: list[str]
) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


@pytest.mark.parametrize(
    ("overriding", "names"),
    [
        (transport.ChunkedConsumer, ["getmany", "_new_offset", "_add_gap", "perform_seek", "_new_consumer_thread"]),
        (transport.ChunkedConsumerThread, ["_create_worker_consumer", "_fetch_records"]),
    ],
)
def test_each_override_still_overrides_something(overriding: type, names: list[str]) -> None:
    for name in names:
        assert name in vars(overriding)
        assert any(name in vars(base) for base in overriding.__mro__[1:]), name


def test_attributes_of_faust_it_reads_are_still_set_by_the_constructor() -> None:
    source = inspect.getsource(faust_consumer.Consumer)
    for name in ("_read_offset", "_acked", "_acked_index", "_committed_offset", "_buffered_partitions", "flow_active"):
        assert f"self.{name}" in source, name


def fetched(raw: bytes, bare: bool) -> list[Any]:
    """What a fetch that brought `raw` hands out."""
    tp = aiokafka.TopicPartition("t", 0)
    stock_fetcher = SimpleNamespace(_records={"other": fetcher.FetchError(error=ValueError(), backoff=0)})

    async def fetch(assignment: Any, node_id: Any, request: Any) -> bool:
        records = fetcher.PartitionRecords(tp, MemoryRecords(raw), [], 7, None, None, True, 0)
        stock_fetcher._records[tp] = fetcher.FetchResult(
            tp, assignment=assignment, partition_records=records, backoff=0
        )
        return True

    stock_fetcher._proc_fetch_request = fetch
    if bare:
        leave_records_bare(stock_fetcher)
    assert asyncio.run(stock_fetcher._proc_fetch_request(None, 0, None)) is True
    return list(stock_fetcher._records[tp]._partition_records)


def test_bare_records_say_what_the_copies_say() -> None:
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10_000)
    batch.append(0, 1_000, b"k", b"v", [("h", b"1")])
    batch.append(1, 1_001, None, None, [])
    raw = (6).to_bytes(8, "big") + bytes(batch.build())[8:]
    copies, bares = fetched(raw, bare=False), fetched(raw, bare=True)
    assert [type(record).__name__ for record in (*copies, *bares)] == ["ConsumerRecord", "DefaultRecord"]

    def said(record: Any) -> tuple[Any, ...]:
        return record.offset, record.timestamp, record.key, record.value, tuple(record.headers)

    assert [said(record) for record in bares] == [said(record) for record in copies] == [(7, 1_001, None, None, ())]


def test_aiokafka_still_has_the_fetch_options_it_sets() -> None:
    parameters = inspect.signature(aiokafka.AIOKafkaConsumer.__init__).parameters
    assert {"fetch_min_bytes", "fetch_max_wait_ms"} <= set(parameters)
    source = inspect.getsource(aiokafka.AIOKafkaConsumer)
    assert "_fetch_min_bytes" in source and "_fetch_max_wait_ms" in source
