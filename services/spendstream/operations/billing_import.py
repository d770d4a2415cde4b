"""A bill onto the topic, once for ever: lines that are there already, as they are, are not sent again.

begun is written → the lines are compared with what `billing_items` says of them, new and changed ones are sent → sent
is written → attribution projects them → done is written. A command that dies in between is given again: what arrived
is found unchanged. A line that comes again with other content replaces the earlier one: the newest version wins. A
file that was done before replaces nothing any more: only lines it could not give then, for want of an exchange rate,
are sent.

`complete`: a file is the whole bill of each (provider, billing period, billing account) it has lines of, also one that
was done before. What that bill has and the file has not is withdrawn, unless one of its rows was bad.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from spendstream.domain.billing.identity import Occurrences
from spendstream.domain.billing.ledger_row import content
from spendstream.domain.billing.withdrawal import withdrawn
from spendstream.domain.prices.currency import FxRates
from spendstream.operations import bill_lines, import_ledger
from spendstream.operations.arrival import NotQueryableError, until_nothing_is_missing
from spendstream.operations.bill_lines import CHUNK_ROWS, Item, Scope, key_of, message_key, scope_of
from spendstream.operations.bills import Bill, How, ImportedBill, check, good_rows, reader_of
from spendstream.operations.store import Store
from spendstream.operations.usage_import import Reports
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.kafka.reader import read_tail
from spendstream.runtime.settings import Settings
from spendstream.schemas import Undecodable, decode, encode

TOPIC = "billing"
KIND = "billing"
PARTITION = 0


@dataclass(frozen=True)
class Withdrawal:
    """Lines of a bill that a complete file no longer has, and what they were billed at, in dollars."""

    scope: Scope
    lines: Sequence[Item]

    @property
    def billed_usd(self) -> Decimal:
        return sum((line["billed_cost"] for line in self.lines), Decimal(0))


class BillingImport:
    """Imports files one after another. `deadline` bounds all waiting (monotonic seconds); `withdrawing` is told what
    will be withdrawn before it is."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        publisher: Publisher,
        rates: Mapping[str, FxRates],
        deadline: float,
        reports: Reports,
        withdrawing: Callable[[Withdrawal], None],
    ) -> None:
        self._settings, self._store, self._publisher, self._rates = settings, store, publisher, rates
        self._deadline, self._reports, self._withdrawing = deadline, reports, withdrawing

    async def send(self, bills: Sequence[Bill], how: How) -> list[ImportedBill]:
        """Put lines on the topic that are new or changed; with `how.wait`, return once they can be asked for.

        `NotNowError` when broker or ClickHouse are away, `NotQueryableError` when attribution does not get that far in
        time. Either way the same command may be given again.
        """
        occurrences = Occurrences()
        done: list[ImportedBill] = []
        for bill in bills:
            known = await asyncio.to_thread(import_ledger.read, self._store, bill.identity, KIND)
            imported = ImportedBill(bill, known)
            await self._one(imported, occurrences if how.together else Occurrences(), how)
            done.append(imported)
        if how.complete:
            for whole in [done] if how.together else [[each] for each in done]:
                await self._withdraw(whole, how)
        if how.wait and not how.dry_run:
            await self._until_projected()
            for imported in done:
                if imported.new or not imported.was_done:
                    await self._write(imported, "done")
        return done

    async def _one(self, imported: ImportedBill, occurrences: Occurrences, how: How) -> None:
        comparable = (imported.was_done and not how.complete) or await self._comparable(how.wait)
        imported.version = await asyncio.to_thread(bill_lines.next_version, self._store)
        rates = self._rates.get(imported.bill.org, FxRates())
        reader = reader_of(imported.bill, rates, imported.version, occurrences)
        writes = not (imported.was_done or how.dry_run)
        if writes:
            await self._write(imported, "begun")
        rows = good_rows(imported, reader, self._reports.rows)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            await self._chunk(imported, chunk, comparable, how)
        nothing = [] if imported.rows or imported.bad_rows else ["has no lines"]
        imported.warnings = [*reader.warnings, *nothing]
        imported.noted = reader.noted
        if writes:
            await self._write(imported, "sent")

    async def _chunk(self, imported: ImportedBill, items: Sequence[Item], comparable: bool, how: How) -> None:
        """Send the lines that are not there yet or say something else by now."""
        org = imported.bill.org
        there = await asyncio.to_thread(bill_lines.contents, self._store, org, items) if comparable else {}
        if imported.was_done and not how.complete:
            fresh = [item for item in items if key_of(item) not in there]
        else:
            fresh = [item for item in items if there.get(key_of(item)) != content(item)]
        changed = sum(key_of(item) in there for item in fresh)
        imported.changed += changed
        imported.new += len(fresh) - changed
        imported.unchanged += len(items) - len(fresh)
        if how.complete:
            imported.lines.update(map(key_of, items))
            imported.scopes.update(map(scope_of, items))
        if not how.dry_run:
            await self._publish(fresh)

    async def _withdraw(self, parts: Sequence[ImportedBill], how: How) -> None:
        """Withdraw what the bills of these files have and the files do not; nothing where a row was bad."""
        if any(each.bad_rows for each in parts):
            return
        last, lines = parts[-1], set().union(*(each.lines for each in parts))
        for scope in sorted(set().union(*(each.scopes for each in parts))):
            there = await asyncio.to_thread(bill_lines.standing, self._store, last.bill.org, scope)
            gone = {line for line in there if (*scope[:2], line) not in lines}
            if not gone:
                continue
            found = await asyncio.to_thread(bill_lines.lines, self._store, last.bill.org, scope, gone)
            withdrawal = Withdrawal(scope, found)
            self._withdrawing(withdrawal)
            last.withdrawn += len(found)
            last.withdrawn_usd += withdrawal.billed_usd
            items = (withdrawn(line, last.bill.file.digest, last.version) for line in found)
            while not how.dry_run and (chunk := list(islice(items, CHUNK_ROWS))):
                await self._publish(chunk)

    async def _publish(self, items: Iterable[Item]) -> None:
        messages = [(message_key(item), encode("BillingItem", item)) for item in items]
        await self._publisher.send(TOPIC, messages, PARTITION)

    async def _comparable(self, wait: bool) -> bool:
        """Whether `billing_items` has all that is on the topic: only then it says what a line says now."""
        if wait:
            await self._until_projected()
            return True
        last = await self._last_item()
        return last is None or not await asyncio.to_thread(bill_lines.lacks, self._store, last)

    async def _until_projected(self) -> None:
        """Return once `billing_items` has everything that is on the topic now: one partition, read in order."""
        last = await self._last_item()
        if last is None:
            return
        await until_nothing_is_missing(
            self._settings,
            lambda: "lines to be projected" if bill_lines.lacks(self._store, last) else None,
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


__all__ = ["Bill", "BillingImport", "How", "ImportedBill", "NotQueryableError", "Withdrawal", "check"]
