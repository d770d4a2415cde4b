"""Files of bills, how they are to be imported, and what importing one came to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from spendstream.domain.billing.focus import FocusReader, HeaderError, Origin, Problem
from spendstream.domain.billing.identity import Occurrences
from spendstream.domain.prices.currency import FxRates
from spendstream.operations.bill_lines import Item, Key, Scope, key_of, scope_of
from spendstream.operations.billing_files import BillFile, UnreadableBillError
from spendstream.operations.import_ledger import Entry
from spendstream.operations.import_source import Bad
from spendstream.operations.usage_import import KEPT_BAD_ROWS
from spendstream.runtime import clock


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


@dataclass(frozen=True)
class How:
    """How files are imported. `together`: they are parts of one bill. `complete`: a file (together: all of them) is the
    whole bill. `wait`: until the lines can be asked for. `dry_run`: send and write nothing."""

    together: bool = False
    complete: bool = False
    wait: bool = True
    dry_run: bool = False


@dataclass
class ImportedBill:
    """What importing one file came to; counts are rows. `unchanged` rows were there before, as they are; `withdrawn`
    lines, of `withdrawn_usd` billed, are no longer on the bill. `lines`, `scopes`: what a complete file has."""

    bill: Bill
    known: Entry | None = None
    warnings: list[str] = field(default_factory=list)
    noted: list[tuple[int, Problem]] = field(default_factory=list)
    rows: int = 0
    bad_rows: int = 0
    bad: list[Bad] = field(default_factory=list)
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    withdrawn_usd: Decimal = Decimal(0)
    version: int = 0
    lines: set[Key] = field(default_factory=set)
    scopes: set[Scope] = field(default_factory=set)

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


def check(bills: Sequence[Bill], how: How) -> None:
    """`UnreadableBillError` when a file is no bill, or when two of them say something of the same without being parts
    of one bill (`together`): then one would silently replace the other."""
    seen: dict[Key | Scope, str] = {}
    for bill in bills:
        try:
            reader = reader_of(bill, FxRates(), 0, Occurrences())
        except HeaderError as error:
            raise UnreadableBillError(f"{bill.file.path}:1: {error}") from error
        if how.together or len(bills) == 1:
            continue
        for row, cells in bill.file.rows():
            item = reader.read(row, cells)
            if isinstance(item, dict):
                _once(seen, scope_of(item) if how.complete else key_of(item), bill, row)


def _once(seen: dict[Key | Scope, str], what: Key | Scope, bill: Bill, row: int) -> None:
    here = f"{bill.file.path}:{row}"
    first = seen.setdefault(what, str(bill.file.path) if isinstance(what, Scope) else here)
    if isinstance(what, Scope) and first != str(bill.file.path):
        raise UnreadableBillError(f"{here} is of the same bill ({what}) as {first}: give --together when they are one")
    if isinstance(what, Key) and first != here:
        raise UnreadableBillError(
            f"{here} is the same line of a bill as {first}: give --together when the files are parts of one bill, or"
            " import a correction by a command of its own"
        )


def reader_of(bill: Bill, rates: FxRates, version: int, occurrences: Occurrences) -> FocusReader:
    """Reads the file's rows."""
    origin = Origin(bill.org, bill.file.digest, version, bill.provider, rates)
    return FocusReader(bill.file.header, origin, occurrences, bill.file.separator)


def good_rows(imported: ImportedBill, reader: FocusReader, tell: Callable[[int], None]) -> Iterator[Item]:
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
