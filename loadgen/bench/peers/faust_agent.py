"""Faust as its documentation shows it: stock transport, an agent, `async for event in stream`, a timer that flushes.

python -m loadgen.bench.peers.faust_agent          roll-ups in a dictionary
BENCH_TABLE=1 python -m ...                        events per minute also counted in a faust.Table
"""

import asyncio
import os
from typing import Any

import faust

from loadgen.bench.peers.per_event import FLUSH_EVENTS, FLUSH_EVERY_S, Attribution, PriceTable, cost_message
from loadgen.bench.peers.sink import ClickHouseSink, Job, Status

MINUTE_S = 60


def build_app(job: Job, with_table: bool) -> faust.App:
    """The whole program; stock settings but for raw values, no web server, and a producer that may fill a batch."""
    app = faust.App(
        job.group, broker=f"kafka://{job.bootstrap}", store="memory://", web_enabled=False,
        consumer_auto_offset_reset="earliest", topic_disable_leader=True, producer_linger_ms=5,
        datadir=str(job.status.parent / "faust"),
    )  # fmt: skip
    usage = app.topic("usage", value_type=bytes, value_serializer="raw")
    costs = app.topic("costs", value_type=bytes, value_serializer="raw", key_serializer="raw")
    table = app.Table("per_minute", default=int, partitions=4) if with_table else None
    attribution = Attribution(PriceTable.load(job.prices))
    sink, status, one_at_a_time = ClickHouseSink(job.clickhouse_url), Status(job.status), asyncio.Lock()
    waiting = 0

    async def flush() -> None:
        async with one_at_a_time:
            batch = attribution.take()
            if not batch.events:
                return
            records = batch.records()
            await asyncio.to_thread(sink.write, batch, records)
            sent = [await costs.send(key=key, value=value) for key, value in map(cost_message, records)]
            await asyncio.gather(*sent)
            status.published(batch.events)

    @app.agent(usage)  # type: ignore[untyped-decorator]
    async def attribute(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            attribution.message(event.value, message.partition, message.offset, int(message.timestamp * 1000))
            if table is not None:
                table[int(message.timestamp // MINUTE_S)] += 1
            if attribution.waiting >= FLUSH_EVENTS:
                await flush()

    @app.timer(FLUSH_EVERY_S)  # type: ignore[untyped-decorator]
    async def flush_what_waits() -> None:
        nonlocal waiting
        if attribution.waiting == waiting:  # a second without news: the backlog is done
            await flush()
        waiting = attribution.waiting

    async def assigned(*_: Any, **__: Any) -> None:
        status.assigned()

    app.on_partitions_assigned.connect(assigned, weak=False)
    return app


if __name__ == "__main__":
    built = build_app(Job.from_environment(), bool(os.environ.get("BENCH_TABLE")))
    # Not "warning": for its terminal spinner faust then logs everything at debug level, a log record per message.
    faust.Worker(built, loglevel="info").execute_from_commandline()
