"""A file that is to be imported, row by row, and which of its rows are in the ledger of charges."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spendstream.operations.store import Store

IDS_A_QUERY = 1_000


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A good row. `value` is the encoded record, `occurred_at` microseconds since the epoch.

    `mismatch`: how the totals the row reports differ from its classes; it is imported as it is.
    """

    line: int
    org: str
    event_id: str
    occurred_at: int
    value: bytes
    mismatch: str = ""


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that cannot be read."""

    line: int
    column: str
    problem: str


@dataclass(frozen=True)
class Source:
    """A file: its identity, and a way to go through its rows from the start."""

    file: str
    digest: str
    format: str
    rows: Callable[[], Iterator[UsageRow | Bad]]


def lines_of(source: Source, refused: Sequence[str]) -> list[int | None]:
    """The line to blame for each refusal, given by event id in the order of the file.

    Of the rows that share an id the first one counts and those like it are duplicates, so the others are to blame;
    where there are fewer of those than refusals, an earlier file had the id already and every row is.
    """
    times = Counter(refused)
    rows: dict[str, list[UsageRow]] = {event_id: [] for event_id in times}
    for row in source.rows():
        if isinstance(row, UsageRow) and row.event_id in times:
            rows[row.event_id].append(row)
    blamed: dict[str, Iterator[int]] = {}
    for event_id, found in rows.items():
        others = [row for row in found if row.value != found[0].value]
        blamed[event_id] = iter([row.line for row in (others if len(others) >= times[event_id] else found)])
    return [next(blamed[event_id], None) for event_id in refused]


def present_ids(store: Store, rows: Sequence[UsageRow]) -> set[tuple[str, str]]:
    """(org, event id) of the rows that are in the ledger of charges."""
    low, high = min(row.occurred_at for row in rows), max(row.occurred_at for row in rows)
    found: set[tuple[str, str]] = set()
    for start in range(0, len(rows), IDS_A_QUERY):
        found |= {
            (org, event_id)
            for org, event_id in store.rows(
                "select org, event_id from charges where event_id in %(ids)s"
                f" and ts between fromUnixTimestamp64Micro({low}, 'UTC') and fromUnixTimestamp64Micro({high}, 'UTC')",
                ids=[row.event_id for row in rows[start : start + IDS_A_QUERY]],
            )
        }
    return found
