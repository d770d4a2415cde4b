"""A file that is to be imported, row by row, and which of its rows are in the ledger of charges."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spendstream.operations.store import Store

IDS_A_QUERY = 1_000


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A good row. `value` is the encoded record, `occurred_at` microseconds since the epoch."""

    line: int
    org: str
    event_id: str
    occurred_at: int
    value: bytes


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


def lines_of(source: Source, event_ids: set[str]) -> dict[str, int]:
    """First line of each of a few event ids in a file."""
    found: dict[str, int] = {}
    for row in source.rows():
        if isinstance(row, UsageRow) and row.event_id in event_ids:
            found.setdefault(row.event_id, row.line)
    return found


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
