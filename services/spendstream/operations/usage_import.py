"""A file of usage onto the topic, once for ever, and not before its rows can be asked for.

begun is written → rows are sent, a chunk at a time → sent is written with their offsets → attribution reads them
→ done is written. A command that dies in between leaves a file that was begun: the next one waits until everything on
the topic is in the ledger, looks up which rows are there, and sends the others. Deduplication is a second net, for as
long as its horizon reaches; this ledger has none.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice

from aiokafka.errors import KafkaError

from spendstream.operations import arrival, import_ledger, usage_topic
from spendstream.operations.arrival import Awaited, Letter, NotQueryableError
from spendstream.operations.import_ledger import Entry, Step, next_step
from spendstream.operations.import_source import Bad, Source, UsageRow, present_ids
from spendstream.operations.positions import Range, joined, ranges_of
from spendstream.operations.store import Store
from spendstream.runtime import clock
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.retry import NotNowError
from spendstream.runtime.settings import Settings

TOPIC = "usage"
CHUNK_ROWS = 5_000
KEPT_BAD_ROWS = 10_000


@dataclass
class Imported:
    """What importing one file came to. `outcomes` counts priced, partial, unpriced, duplicate and rejected rows among
    those this command or an earlier one has sent; empty when they were not awaited. `mismatches`: lines whose totals
    do not add up, and how."""

    source: Source
    step: Step
    known: Entry | None = None
    rows: int = 0
    bad_rows: int = 0
    bad: list[Bad] = field(default_factory=list)
    mismatches: list[tuple[int, str]] = field(default_factory=list)
    sent: int = 0
    already_there: int = 0
    ranges: list[Range] = field(default_factory=list)
    since_us: int = 0
    until_us: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)

    def entry(self, state: str) -> Entry:
        """The ledger's entry for this file in a state."""
        now = datetime.fromtimestamp(clock.now_us() / 1_000_000, UTC)
        source, ranges = self.source, tuple(self.ranges)
        return Entry(source.digest, source.file, source.format, state, self.rows, self.bad_rows, ranges, now)


@dataclass(frozen=True)
class Reports:
    """Where progress goes: rows gone through, and what is being waited for."""

    rows: Callable[[int], None]
    waiting: Callable[[str], None]


class UsageImport:
    """Imports files one after another. `deadline` bounds all waiting (monotonic seconds)."""

    def __init__(
        self, settings: Settings, store: Store, publisher: Publisher, deadline: float, reports: Reports
    ) -> None:
        self._settings, self._store, self._publisher = settings, store, publisher
        self._deadline, self._reports = deadline, reports
        self._incarnations: dict[int, str] = {}

    async def send(self, source: Source) -> Imported:
        """Put the rows of a file on the topic that are not there yet; returns what was done.

        `NotNowError` when broker or ClickHouse are away, `NotQueryableError` when an interrupted import cannot be
        repaired because attribution is too far behind. Either way the same command may be given again.
        """
        partitions = await self._publisher.partitions(TOPIC)
        self._incarnations = await usage_topic.incarnations(self._settings, partitions)
        if len(self._incarnations) < partitions:
            raise NotQueryableError("attribution has not seen the topic usage yet: start it, then import")
        known = await asyncio.to_thread(import_ledger.read, self._store, source.digest)
        step = await self._next_step(known)
        sent_before = known.ranges if known and step in (Step.WAIT, Step.NOTHING) else ()
        imported = Imported(source, step, known, ranges=list(sent_before))
        if step is Step.REPAIR:
            await self._until_all_arrived()
        if step in (Step.SEND, Step.REPAIR):
            await self._write(imported, "begun")
        await self._go_through(imported)
        if step in (Step.SEND, Step.REPAIR):
            await self._write(imported, "sent")
        return imported

    async def settle(self, imported: Imported) -> None:
        """Return once every row that was sent is queryable, and say what became of them."""
        if imported.ranges:
            awaited = Awaited(imported.ranges, imported.since_us, imported.until_us)
            if imported.step is not Step.NOTHING:
                await arrival.until_queryable(
                    self._settings, self._store, awaited, self._deadline, self._reports.waiting
                )
            await asyncio.to_thread(self._look_up, imported)
        if imported.known is None or imported.known.state != "done":
            await self._write(imported, "done")

    async def _next_step(self, known: Entry | None) -> Step:
        if known is None or known.state == "done":
            return next_step(known, arrived=False, topic_is_there=False)
        behind = await asyncio.to_thread(arrival.records_behind, self._store, known.ranges)
        present = all(self._incarnations.get(each.partition) == each.incarnation for each in known.ranges)
        return next_step(known, arrived=not behind, topic_is_there=present)

    async def _until_all_arrived(self) -> None:
        """Wait until the ledger has everything that is on the topic now."""
        ends = await usage_topic.last_records(self._settings, self._incarnations)
        if ends:
            now = clock.now_us()
            await arrival.until_queryable(
                self._settings, self._store, Awaited(ends, now, now), self._deadline, self._reports.waiting
            )

    async def _go_through(self, imported: Imported) -> None:
        """Count the rows, keep the bad ones, send what the step asks for."""
        rows = imported.source.rows()
        while chunk := list(islice(rows, CHUNK_ROWS)):
            good = [row for row in chunk if isinstance(row, UsageRow)]
            bad = [row for row in chunk if isinstance(row, Bad)]
            imported.bad_rows += len(bad)
            imported.bad += bad[: KEPT_BAD_ROWS - len(imported.bad)]
            unequal = [(row.line, row.mismatch) for row in good if row.mismatch]
            imported.mismatches += unequal[: KEPT_BAD_ROWS - len(imported.mismatches)]
            if good:
                await self._chunk(imported, good)
            self._reports.rows(len(chunk))

    async def _chunk(self, imported: Imported, good: Sequence[UsageRow]) -> None:
        times = [row.occurred_at for row in good]
        imported.since_us = min(times) if imported.rows == 0 else min(imported.since_us, *times)
        imported.until_us = max(imported.until_us, *times)
        imported.rows += len(good)
        if imported.step is Step.REPAIR:
            there = await asyncio.to_thread(present_ids, self._store, good)
            fresh = [row for row in good if (row.org, row.event_id) not in there]
            imported.already_there += len(good) - len(fresh)
            good = fresh
        if imported.step in (Step.SEND, Step.REPAIR):
            imported.ranges = joined([*imported.ranges, *await self._publish(good)])
            imported.sent += len(good)

    async def _publish(self, rows: Sequence[UsageRow]) -> list[Range]:
        """Send rows, keyed by event id, and say at which offsets they are."""
        producer, pending = self._publisher.producer, []
        try:
            for row in rows:
                pending.append(await producer.send(TOPIC, value=row.value, key=row.event_id.encode()))
            acknowledged = await asyncio.gather(*pending)
        except (KafkaError, OSError) as error:
            for future in pending:
                future.cancel()
            raise NotNowError(f"publishing to {TOPIC}: {error!r}") from error
        offsets: dict[int, list[int]] = {}
        for metadata in acknowledged:
            offsets.setdefault(metadata.partition, []).append(metadata.offset)
        return [
            each
            for partition, found in offsets.items()
            for each in ranges_of(self._incarnations[partition], partition, found)
        ]

    def _look_up(self, imported: Imported) -> None:
        counted = arrival.statuses(self._store, imported.ranges)
        imported.letters = arrival.letters(self._store, imported.ranges)
        offsets = sum(each.last - each.first + 1 for each in imported.ranges)
        duplicate = offsets - sum(counted.values()) - len(imported.letters)
        imported.outcomes = {
            **{status: counted.get(status, 0) for status in ("priced", "partial", "unpriced")},
            "duplicate": duplicate,
            "rejected": len(imported.letters),
        }

    async def _write(self, imported: Imported, state: str) -> None:
        entry = imported.entry(state)
        if state == "done" and imported.step is Step.NOTHING and imported.known is not None:
            entry = replace(imported.known, state=state, updated_at=entry.updated_at)
        await asyncio.to_thread(import_ledger.write, self._store, entry)


def deadline_in(seconds: float) -> float:
    """A deadline from now."""
    return time.monotonic() + seconds
