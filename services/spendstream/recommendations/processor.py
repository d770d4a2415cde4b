"""Feeds profiles from `costs` and prompt fingerprints from `usage`; publishes what the engine proposes."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import polars as pl
import structlog
from faust.types import TP

from spendstream.cost_stream.differences import deltas
from spendstream.domain.attribution.dedup import DedupIndex
from spendstream.domain.differences import Differences
from spendstream.domain.recommendations import RecommendationEngine
from spendstream.domain.tokens import normalise
from spendstream.rating import BookShelf
from spendstream.runtime import clock
from spendstream.runtime.kafka.columns import decode_columns
from spendstream.runtime.kafka.consume import Run
from spendstream.runtime.kafka.incarnations import end_of, merged, recreated, topic_ids
from spendstream.runtime.kafka.reader import read_all
from spendstream.runtime.retry import NotNowError, retrying
from spendstream.runtime.service import Context
from spendstream.schemas import decode, encode

log = structlog.get_logger()
TOPIC = "recommendations"
TICK_EVERY_S = 3.0
SNAPSHOT_EVERY_S = 15.0
VERSION = 2
READ = ("costs", "usage")
#: A re-sent event must not look like a repeated prompt; an hour catches what producers retry.
RESENT_WITHIN_MS, RESENT_IDS = 3_600_000, 2_000_000


class RecommendationProcessor:
    """One engine over everything this worker reads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._shelf = BookShelf(context.control.log)
        self._path = context.settings.service_home(context.service) / "state.json"
        self._keep_us = (context.settings.allowed_lateness_s + 7_200) * 1_000_000
        self._lock = asyncio.Lock()
        self._ticking: asyncio.Task[None] | None = None
        self._forget()

    def _forget(self) -> None:
        self._engine = RecommendationEngine(self._reprice)
        self._differences = Differences(self._keep_us)
        self._seen: dict[int, DedupIndex] = {}
        self._offsets: dict[str, int] = {}
        self._recalled = 0
        #: Topics these offsets are of.
        self._topics: dict[str, str | None] = {}
        self._whole = True
        self._saved_at = time.monotonic()

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        if not self._load():
            self._forget()
        await self._follow(partitions)
        records = await read_all(self._context.settings, TOPIC, 0, self._recalled)
        self._engine.recall(decode(record.value)[1] for record in records if record.value)
        if records:
            self._recalled = records[-1].offset + 1
        self._ticking = asyncio.create_task(self._tick_for_ever())
        return {tp: self._offsets.get(_name(tp.topic, tp.partition), -1) + 1 for tp in partitions}

    async def lost(self) -> str | None:
        """Why the state must be loaded again: a topic is another one than was read."""
        gone = recreated(self._topics, await topic_ids(self._context.settings, READ)) & {*READ}
        return f"{' and '.join(sorted(gone))} created anew" if gone else None

    async def _follow(self, partitions: set[TP]) -> None:
        """Forget the offsets of topics that were created anew: what was learnt stays, the new ones are read whole.

        Where a broker has no topic ids, a partition that ends before what was read tells.
        """
        now = await topic_ids(self._context.settings, (*READ, TOPIC))
        gone = recreated(self._topics, now)
        for tp in partitions:
            read = self._offsets.get(_name(tp.topic, tp.partition), -1)
            if read >= 0 and read >= await end_of(self._context.settings, tp.topic, tp.partition):
                gone.add(tp.topic)
        if gone:
            log.warning("topics were created anew: read from their start", topics=sorted(gone))
        self._offsets = {name: at for name, at in self._offsets.items() if name.split("/")[0] not in gone}
        if TOPIC in gone:
            self._recalled = 0
        self._topics = merged(self._topics, now)

    async def revoked(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
            if self._whole:
                self._save()
            self._ticking = None
        self._forget()

    async def process(self, run: Run) -> None:
        name = _name(run.topic, run.partition)
        fresh = run.after(self._offsets.get(name, -1))
        if fresh is None:
            return
        async with self._lock:
            self._whole = False  # a run that is cut short must not be saved
            await asyncio.to_thread(self._take, fresh)
            self._offsets[name] = fresh.last
            self._whole = True

    def _take(self, run: Run) -> None:
        if run.topic == "costs":
            changed = deltas(self._differences, run.records)
            self._engine.update(changed.filter(pl.col("grain") == "owner"))
        else:
            self._engine.update_usage(self._priced(run))

    def _priced(self, run: Run) -> pl.DataFrame:
        """Valid usage of a run that was not sent before, with what it cost."""
        usage = decode_columns(run.records, "Usage", "UsageBatch").events
        usage = usage.with_columns(pl.col("occurred_at").cast(pl.Int64))
        rated = self._shelf.now().prices.rate(usage, normalise(usage))
        ids = usage.select("org", "event_id").hash_rows(seed=1).to_numpy()
        seen = self._seen.setdefault(run.partition, DedupIndex(RESENT_WITHIN_MS, RESENT_IDS))
        same = np.zeros(ids.size, dtype=np.uint32)
        new = seen.judge(ids, same).new & ~rated.rejected
        seen.remember(ids[new], same[new], max(record.timestamp or 0 for record in run.records))
        priced = usage.with_columns(
            rated.model.series("model"),
            pl.Series("cost_pico_usd", rated.cost_pico_usd),
            pl.col("team").fill_null(""),
        )
        return priced.filter(pl.Series(new) & pl.col("prompt_hash").is_not_null())

    def _reprice(self, provider: str, model: str, buckets: Mapping[str, int], requests: int) -> int | None:
        """What a mean request's tokens would cost on another model, times the requests; None without a full price."""
        return self._shelf.reprice(provider, model, buckets, requests, clock.now_us())

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_EVERY_S)
            async with self._lock:
                self._whole = False
                news = await asyncio.to_thread(self._engine.tick, clock.now_us())
                messages = [(record["recommendation_id"].encode(), encode("Recommendation", record)) for record in news]
                if messages:
                    send = lambda messages=messages: self._context.publisher.send(TOPIC, messages)  # noqa: E731
                    await retrying(f"publishing to {TOPIC}", send, retry_on=(NotNowError,))
                self._whole = True
                if time.monotonic() - self._saved_at > SNAPSHOT_EVERY_S:
                    await asyncio.to_thread(self._save)

    def _save(self) -> None:
        snapshot: dict[str, Any] = {
            "version": VERSION,
            "offsets": self._offsets,
            "recalled": self._recalled,
            "topics": self._topics,
            "differences": self._differences.snapshot(),
            "engine": self._engine.snapshot(),
        }
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(snapshot, option=orjson.OPT_NON_STR_KEYS))
        fresh.replace(self._path)
        self._saved_at = time.monotonic()

    def _load(self) -> bool:
        try:
            snapshot = orjson.loads(self._path.read_bytes())
            if snapshot["version"] != VERSION:
                return False
            self._differences.restore(snapshot["differences"])
            self._engine.restore(snapshot["engine"])
        except FileNotFoundError:
            return False
        except Exception as error:  # whatever is wrong with the file, the topics have it all
            log.warning("snapshot cannot be read: rebuilding", error=repr(error))
            return False
        self._offsets, self._recalled = snapshot["offsets"], snapshot["recalled"]
        self._topics = snapshot["topics"]
        return True


def _name(topic: str, partition: int) -> str:
    return f"{topic}/{partition}"
