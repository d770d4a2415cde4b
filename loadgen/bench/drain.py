"""One drain: a fresh side against the whole preloaded topic, timed from its assignment until everything is written."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from loadgen.bench import contenders
from loadgen.bench.peers.per_event import OWNER
from loadgen.bench.processes import BenchError, cpu_s, wait_for
from loadgen.bench.stack import DATABASE, Stack
from loadgen.truth import TruthFile
from spendstream.schemas import decode, topics

ASSIGNED_WITHIN_S = 120.0
PATIENCE_S = 60.0
ASK_EVERY_S = 0.5
SLOWEST_EVENTS_PER_S = 300
PICO = 10**12
STATUSES = ("priced", "partial", "unpriced")
WROTE = {
    "charges": "select count() from charges",
    "rollups": "select sum(events) from cost_by_minute final",
    "callers": "select sum(events) from caller_cost_by_minute final",
}


@dataclass(frozen=True)
class Totals:
    """What a side came to; equal for every side, or the bench is void."""

    charges: int
    cost_pico_usd: int
    statuses: dict[str, int]
    rollup_events: int
    rollup_cost_pico_usd: int
    published_events: int
    published_cost_pico_usd: int

    @classmethod
    def of(cls, truth: TruthFile) -> "Totals":
        """What must come out."""
        count, cost = truth.distinct_events, truth.cost_pico_usd
        statuses = {status: truth.statuses.get(status, 0) for status in STATUSES}
        return cls(count, cost, statuses, count, cost, count, cost)


@dataclass(frozen=True)
class Drain:
    """One measured drain. Seconds count from the assignment; `seconds` is when all three were complete."""

    side: str
    round: int
    events: int
    seconds: float
    charges_s: float
    rollups_s: float
    costs_s: float
    cost_messages: int
    cpu_s: float
    stack_cpu_s: float
    totals: Totals

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds


def drain(
    side: str, number: int, stack: Stack, folder: Path, prices: Path, truth: TruthFile,
    progress: Callable[[int, float], None],
) -> Drain:  # fmt: skip
    """Clean slate, start, time, stop. `progress` gets charges so far and seconds."""
    stack.clean_slate()
    contender = contenders.start(side, stack, folder / f"{side}-{number}", prices)
    try:
        began = wait_for(f"{side}: partitions", contender.assigned_at, contender.child, ASSIGNED_WITHIN_S, 0.01)
        before, stack_before = cpu_s([contender.child.pid]), cpu_s(stack.pids)
        done = _watch(side, contender, stack, truth, began, progress)
        used, stack_used = cpu_s([contender.child.pid]) - before, cpu_s(stack.pids) - stack_before
    finally:
        contender.child.stop()
    messages, published = asyncio.run(_published(stack.bootstrap))
    totals = _totals(stack.clickhouse(DATABASE), *published)
    rollups = max(done["rollups"], done["callers"])
    return Drain(
        side, number, truth.sent_events, max(done.values()), done["charges"], rollups, done["costs"], messages, used,
        stack_used, totals,
    )  # fmt: skip


def _watch(
    side: str, contender: contenders.Contender, stack: Stack, truth: TruthFile, began: float,
    progress: Callable[[int, float], None],
) -> dict[str, float]:  # fmt: skip
    """Seconds after which each part was complete. Looks at most every fiftieth of the time so far: 2 % too late.

    Asking a side costs it some of its time, so that is done seldom until its charges are complete.
    """
    client, done, rows, asked = stack.clickhouse(DATABASE), dict[str, float](), 0, 0.0
    give_up = PATIENCE_S + truth.sent_events / SLOWEST_EVENTS_PER_S
    while len(done) < len(WROTE) + 1:
        contender.child.check()
        if "costs" not in done and ("charges" in done or time.time() - asked > ASK_EVERY_S):
            asked = time.time()
            if contender.published() >= truth.sent_events:
                done["costs"] = asked - began
        for part in WROTE if "charges" in done else ("charges",):
            if part not in done:
                count = int(client.query(WROTE[part]).result_rows[0][0])
                rows = count if part == "charges" else rows
                if count >= truth.distinct_events:
                    done[part] = time.time() - began
        elapsed = time.time() - began
        progress(rows, elapsed)
        if elapsed > give_up:
            raise BenchError(f"{side}: {rows} of {truth.distinct_events} charges after {elapsed:.0f} s, done: {done}")
        time.sleep(min(0.5, max(0.02, elapsed / 50)))
    return done


def _totals(client: Any, published_events: int, published_cost: int) -> Totals:
    statuses = {
        status: int(n) for status, n in client.query("select status, count() from charges group by status").result_rows
    }
    charges = client.query("select count(), sum(cost_usd) from charges").result_rows[0]
    rollups = client.query("select sum(events), sum(cost_usd) from cost_by_minute final").result_rows[0]
    return Totals(
        int(charges[0]), _pico(charges[1]), {status: statuses.get(status, 0) for status in STATUSES},
        int(rollups[0]), _pico(rollups[1]), published_events, published_cost,
    )  # fmt: skip


def _pico(usd: Decimal) -> int:
    return int(usd * PICO)


async def _published(bootstrap: str) -> tuple[int, tuple[int, int]]:
    """Messages on `costs`, and (events, cost) summed over the last value of every owner row."""
    newest: dict[tuple[Any, ...], tuple[int, int, int]] = {}
    messages = 0
    partitions = [TopicPartition("costs", number) for number in range(topics()["costs"].partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(partitions)
        while not all([await _at_the_end(consumer, tp) for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                messages += len(records)
                for record in records:
                    _note(newest, decode(record.value)[1])
    finally:
        await consumer.stop()
    return messages, (sum(row[1] for row in newest.values()), sum(row[2] for row in newest.values()))


async def _at_the_end(consumer: AIOKafkaConsumer, tp: TopicPartition) -> bool:
    end = consumer.highwater(tp)
    return end is not None and await consumer.position(tp) >= end


def _note(newest: dict[tuple[Any, ...], tuple[int, int, int]], row: Mapping[str, Any]) -> None:
    """Keep the newest version of an owner row."""
    if row["grain"] != "owner":
        return
    identity = (*(row[name] for name in OWNER), row["minute"], row["source_partition"], row["epoch"], row["late"])
    version = row["last_offset"]
    if version >= newest.get(identity, (-1, 0, 0))[0]:
        newest[identity] = (version, row["events"], row["cost_pico_usd"])
