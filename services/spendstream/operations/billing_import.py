"""A bill onto the topic, once for ever: lines that are there already, as they are, are not sent again.

begun is written → the lines are compared with what `billing_items` says of them, new and changed ones are sent → sent
is written → attribution projects them → done is written. A command that dies in between is given again: what arrived
is found unchanged. A line that comes again with other content replaces the earlier one: the newest version wins. A
file that was done before replaces nothing any more: only lines it could not give then, for want of an exchange rate,
are sent.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from spendstream.domain.billing.focus import FocusReader, HeaderError, Origin
from spendstream.domain.billing.identity import Occurrences
from spendstream.domain.billing.ledger_row import content
from spendstream.domain.prices.currency import FxRates
from spendstream.operations import import_ledger
from spendstream.operations.arrival import NotQueryableError, until_nothing_is_missing
from spendstream.operations.billing_files import BillFile, UnreadableBillError
from spendstream.operations.import_ledger import Entry
from spendstream.operations.import_source import Bad
from spendstream.operations.store import Store
from spendstream.operations.usage_import import KEPT_BAD_ROWS, Reports
from spendstream.runtime import clock
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.kafka.reader import read_tail
from spendstream.runtime.settings import Settings
from spendstream.schemas import Undecodable, decode, encode

TOPIC = "billing"
KIND = "billing"
PARTITION = 0
CHUNK_ROWS = 1_000

Item = dict[str, Any]
Key = tuple[str, datetime, str]


@dataclass(frozen=True)
class Bill:
    """A file to import, for an organisation, perhaps under a provider's name that the file does not have."""

    file: BillFile
    org: str
    provider: str | None

    @property
    def identity(self) -> str:
        """What the permanent ledger knows it by."""
        options = [f"org={self.org}"] if self.org != "default" else []
        options += [f"provider={self.provider}"] if self.provider is not None else []
        return ";".join([self.file.digest, *options])


@dataclass
class ImportedBill:
    """What importing one file came to; counts are rows. `unchanged` rows were there before, as they are."""

    bill: Bill
    known: Entry | None = None
    warnings: list[str] = field(default_factory=list)
    rows: int = 0
    bad_rows: int = 0
    bad: list[Bad] = field(default_factory=list)
    new: int = 0
    changed: int = 0
    unchanged: int = 0

    @property
    def was_done(self) -> bool:
        return self.known is not None and self.known.state == "done"

    def entry(self, state: str) -> Entry:
        """The ledger's entry for this file in a state."""
        now = datetime.fromtimestamp(clock.now_us() / 1_000_000, UTC)
        file = self.bill.file
        return Entry(
            self.bill.identity, str(file.path), f"focus-{file.format}", state, self.rows, self.bad_rows, (), now
        )


def check(bills: Sequence[Bill], together: bool) -> None:
    """`UnreadableBillError` when a file is no bill, or when two of them have the same line without being parts of one
    bill (`together`): then one would silently replace the other."""
    seen: dict[tuple[Any, ...], str] = {}
    for bill in bills:
        try:
            reader = _reader(bill, FxRates(), 0, Occurrences())
        except HeaderError as error:
            raise UnreadableBillError(f"{bill.file.path}: {error}") from error
        if together or len(bills) == 1:
            continue
        for row, cells in bill.file.rows():
            item = reader.read(row, cells)
            if isinstance(item, dict):
                line = f"{bill.file.path}:{row}"
                first = seen.setdefault(_key(item), line)
                if first != line:
                    raise UnreadableBillError(
                        f"{line} is the same line of a bill as {first}: give --together when the files are parts of one"
                        " bill, or import a correction by a command of its own"
                    )


class BillingImport:
    """Imports files one after another. `deadline` bounds all waiting (monotonic seconds)."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        publisher: Publisher,
        rates: Mapping[str, FxRates],
        deadline: float,
        reports: Reports,
    ) -> None:
        self._settings, self._store, self._publisher, self._rates = settings, store, publisher, rates
        self._deadline, self._reports = deadline, reports

    async def send(self, bills: Sequence[Bill], together: bool, wait: bool) -> list[ImportedBill]:
        """Put lines on the topic that are new or changed; with `wait`, return once they can be asked for.

        `NotNowError` when broker or ClickHouse are away, `NotQueryableError` when attribution does not get that far in
        time. Either way the same command may be given again.
        """
        occurrences = Occurrences()
        done: list[ImportedBill] = []
        for bill in bills:
            known = await asyncio.to_thread(import_ledger.read, self._store, bill.identity, KIND)
            imported = ImportedBill(bill, known)
            await self._one(imported, occurrences if together else Occurrences(), wait)
            done.append(imported)
        if wait:
            await self._until_projected()
            for imported in done:
                if imported.new or not imported.was_done:
                    await self._write(imported, "done")
        return done

    async def _one(self, imported: ImportedBill, occurrences: Occurrences, wait: bool) -> None:
        comparable = imported.was_done or await self._comparable(wait)
        version = await asyncio.to_thread(_next_version, self._store)
        rates = self._rates.get(imported.bill.org, FxRates())
        reader = _reader(imported.bill, rates, version, occurrences)
        imported.warnings = reader.warnings
        if not imported.was_done:
            await self._write(imported, "begun")
        rows = _rows(imported, reader, self._reports.rows)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            await self._chunk(imported, chunk, comparable)
        if not imported.was_done:
            await self._write(imported, "sent")

    async def _chunk(self, imported: ImportedBill, items: Sequence[Item], comparable: bool) -> None:
        """Send the lines that are not there yet or say something else by now."""
        there = await asyncio.to_thread(_contents, self._store, imported.bill.org, items) if comparable else {}
        if imported.was_done:
            fresh = [item for item in items if _key(item) not in there]
        else:
            fresh = [item for item in items if there.get(_key(item)) != content(item)]
        changed = sum(_key(item) in there for item in fresh)
        imported.changed += changed
        imported.new += len(fresh) - changed
        imported.unchanged += len(items) - len(fresh)
        messages = [(_message_key(item), encode("BillingItem", item)) for item in fresh]
        await self._publisher.send(TOPIC, messages, PARTITION)

    async def _comparable(self, wait: bool) -> bool:
        """Whether `billing_items` has all that is on the topic: only then it says what a line says now."""
        if wait:
            await self._until_projected()
            return True
        last = await self._last_item()
        return last is None or not await asyncio.to_thread(_missing, self._store, last)

    async def _until_projected(self) -> None:
        """Return once `billing_items` has everything that is on the topic now: one partition, read in order."""
        last = await self._last_item()
        if last is None:
            return
        await until_nothing_is_missing(
            self._settings,
            lambda: "lines to be projected" if _missing(self._store, last) else None,
            self._deadline,
            self._reports.waiting,
        )

    async def _last_item(self) -> Item | None:
        """The newest readable line on the topic, among its last few records."""
        for record in reversed(await read_tail(self._settings, TOPIC, 10, PARTITION)):
            try:
                return decode(record.value)[1]
            except Undecodable:
                continue
        return None

    async def _write(self, imported: ImportedBill, state: str) -> None:
        await asyncio.to_thread(import_ledger.write, self._store, imported.entry(state), KIND)


def _reader(bill: Bill, rates: FxRates, version: int, occurrences: Occurrences) -> FocusReader:
    origin = Origin(bill.org, bill.file.digest, version, bill.provider, rates)
    return FocusReader(bill.file.header, origin, occurrences)


def _rows(imported: ImportedBill, reader: FocusReader, tell: Callable[[int], None]) -> Iterator[Item]:
    """Good rows; bad ones are counted and kept."""
    path = imported.bill.file.path
    try:
        for row, cells in imported.bill.file.rows():
            item = reader.read(row, cells)
            tell(1)
            if isinstance(item, dict):
                imported.rows += 1
                yield item
                continue
            imported.bad_rows += 1
            imported.bad += [Bad(row, each.column, each.problem) for each in item]
            del imported.bad[KEPT_BAD_ROWS:]
    except UnreadableBillError as error:
        _, line, problem = str(error).removeprefix(str(path)).split(":", 2)
        imported.bad_rows += 1
        imported.bad.append(Bad(int(line), "row", problem.strip()))


def _key(item: Mapping[str, Any]) -> Key:
    start = datetime.fromtimestamp(item["billing_period_start"] // 1_000_000, UTC)
    return item["provider_name"], start, item["line_id"]


def _message_key(item: Mapping[str, Any]) -> bytes:
    start = datetime.fromtimestamp(item["billing_period_start"] / 1_000_000, UTC)
    return f"{item['org']}/{item['provider_name']}/{start:%Y-%m-%d}/{item['line_id']}".encode()


def _next_version(store: Store) -> int:
    """Later than every version there is, also when another machine's clock was ahead."""
    [(newest,)] = store.rows("select max(version) from billing_items")
    return max(clock.now_us(), int(newest) + 1)


def _contents(store: Store, org: str, items: Sequence[Item]) -> dict[Key, str]:
    """What the newest version of each of these lines says, as a digest."""
    starts = sorted({item["billing_period_start"] // 1_000_000 for item in items})
    rows = store.rows(
        "select provider_name, billing_period_start, line_id, argMax(content, version) from billing_items"
        " where org = %(org)s and provider_name in %(providers)s and line_id in %(lines)s"
        f" and billing_period_start in ({', '.join(_moment(start) for start in starts)})"
        " group by provider_name, billing_period_start, line_id",
        org=org,
        providers=sorted({item["provider_name"] for item in items}),
        lines=[item["line_id"] for item in items],
    )
    return {(provider, start, line): str(digest) for provider, start, line, digest in rows}


def _moment(seconds: int) -> str:
    return f"toDateTime({seconds}, 'UTC')"


def _missing(store: Store, item: Item) -> bool:
    """Whether the table lacks this version of a line."""
    version = item["imported_at"]
    moment = "" if version is None else f" and version >= {int(version.timestamp() * 1_000_000)}"
    [(count,)] = store.rows(
        f"select count() from billing_items where org = %(org)s and provider_name = %(provider)s"
        f" and line_id = %(line)s{moment}",
        org=item["org"],
        provider=item["provider_name"],
        line=item["line_id"],
    )
    return not count


__all__ = ["Bill", "BillingImport", "ImportedBill", "NotQueryableError", "check"]
