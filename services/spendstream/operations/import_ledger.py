"""The permanent ledger of imported files: importing one again changes nothing, whenever that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from spendstream.operations.positions import Range
from spendstream.operations.store import Store


@dataclass(frozen=True)
class Entry:
    """What is known of a file. `state`: begun (rows may be on the topic), sent (all are, at `ranges`), done (all are in
    the ledger of charges)."""

    digest: str
    file: str
    format: str
    state: str
    rows: int = 0
    bad_rows: int = 0
    ranges: Sequence[Range] = field(default_factory=tuple)
    updated_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)


class Step(Enum):
    """What importing a file has to do."""

    SEND = "send every row"
    REPAIR = "send the rows that did not arrive"
    WAIT = "wait until what was sent is queryable"
    NOTHING = "nothing"


def next_step(known: Entry | None, arrived: bool, topic_is_there: bool) -> Step:
    """`arrived`: everything at `known.ranges` is in the ledger of charges. `topic_is_there`: their topic still exists.

    A file that was only begun, or whose topic was lost before it was read, may have arrived in part. Deduplication
    would sort that out within its horizon; afterwards only the charges themselves can tell.
    """
    if known is None:
        return Step.SEND
    if known.state == "done" or (known.state == "sent" and arrived):
        return Step.NOTHING
    if known.state == "sent" and topic_is_there:
        return Step.WAIT
    return Step.REPAIR


def read(store: Store, digest: str, kind: str = "usage") -> Entry | None:
    """The newest entry of a file among imports of a kind."""
    rows = store.rows(
        "select digest, file, format, state, rows, bad_rows, ranges, updated_at from imports"
        " where kind = %(kind)s and digest = %(digest)s order by updated_at desc limit 1",
        kind=kind,
        digest=digest,
    )
    if not rows:
        return None
    (known, file, file_format, state, good, bad, ranges, updated_at) = rows[0]
    places = tuple(Range(*each) for each in ranges)
    return Entry(known, file, file_format, state, good, bad, places, updated_at)


def write(store: Store, entry: Entry, kind: str = "usage") -> None:
    """Make an entry the newest of its file."""
    row = {**vars(entry), "kind": kind, "ranges": [tuple(each) for each in entry.ranges]}
    store.insert("imports", [row])
