"""Dead letters: looking at them, and publishing what was refused once more after a fix, each letter once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from spendstream.operations.store import Store
from spendstream.runtime import clock
from spendstream.runtime.kafka.publisher import Publisher

LETTERS_AT_ONCE = 500
#: The first event of an id counts; publishing the second again could only ever bill it in addition.
NEVER_REPLAYED = ("conflict",)


@dataclass(frozen=True)
class Filter:
    """Which letters: of a topic, for a reason, rejected at or after `since`, replayed ones too or not."""

    topic: str = "usage"
    reason: str | None = None
    since: datetime | None = None
    replayed: bool = False

    def sql(self) -> str:
        """Condition on `dead_letters`; `reason` and `topic` are bound parameters."""
        parts = ["topic = %(topic)s"]
        if self.reason is not None:
            parts.append("reason = %(reason)s")
        if self.since is not None:
            micros = int(self.since.timestamp() * 1_000_000)
            parts.append(f"rejected_at >= fromUnixTimestamp64Micro({micros}, 'UTC')")
        if not self.replayed:
            parts.append(f"({ORIGIN}) not in (select {ORIGIN} from dead_letter_replays where topic = %(topic)s)")
        return " and ".join(parts)

    def parameters(self) -> dict[str, str]:
        return {"topic": self.topic, **({"reason": self.reason} if self.reason is not None else {})}


ORIGIN = "incarnation, partition, offset, item"


@dataclass(frozen=True)
class Letter:
    """One dead letter without its bytes. `item` is -1 for a whole record, else its place in a batch."""

    rejected_at: datetime
    reason: str
    detail: str
    topic: str
    incarnation: str
    partition: int
    offset: int
    item: int
    org: str
    event_id: str
    payload_bytes: int | None
    truncated: bool

    @property
    def origin(self) -> str:
        member = "" if self.item < 0 else f"[{self.item}]"
        return f"{self.topic}/{self.partition}@{self.offset}{member}"

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be replayed; None when it can."""
        if self.reason in NEVER_REPLAYED:
            return "the first event of an id counts"
        if self.payload_bytes is None:
            return "it had no value"
        return "only its beginning was kept" if self.truncated else None


LETTER = (
    "rejected_at, reason, detail, topic, incarnation, partition, offset, item, org, event_id,"
    " length(payload), truncated"
)


def find(store: Store, wanted: Filter, limit: int | None = None) -> list[Letter]:
    """Letters, newest first."""
    rows = store.rows(
        f"select {LETTER} from dead_letters final where {wanted.sql()}"
        f" order by rejected_at desc, partition desc, offset desc, item desc limit {limit or 1_000_000}",
        **wanted.parameters(),
    )
    return [Letter(*row) for row in rows]


def count(store: Store, wanted: Filter) -> int:
    """How many there are."""
    sql = f"select count() from dead_letters final where {wanted.sql()}"
    return int(store.rows(sql, **wanted.parameters())[0][0])


def reasons(store: Store, topic: str) -> list[str]:
    """Every reason code letters of a topic have, replayed ones included."""
    sql = "select distinct reason from dead_letters where topic = %(topic)s order by reason"
    return [str(reason) for (reason,) in store.rows(sql, topic=topic)]


async def replay(store: Store, publisher: Publisher, letters: Sequence[Letter]) -> int:
    """Publish the original bytes to where they came from; returns how many. `NotNowError` when the broker is away.

    A letter is noted as replayed once the broker has it. Dying in between repeats at most LETTERS_AT_ONCE letters,
    which deduplication takes out.
    """
    replayable = sorted((each for each in letters if not each.obstacle), key=_order)
    partitions = {topic: await publisher.partitions(topic) for topic in {each.topic for each in replayable}}
    for start in range(0, len(replayable), LETTERS_AT_ONCE):
        chunk = replayable[start : start + LETTERS_AT_ONCE]
        for (topic, partition), group in groupby(chunk, key=lambda each: (each.topic, each.partition)):
            # The same partition: that is where the event id is known, should it have been counted meanwhile.
            target = partition if partition < partitions[topic] else None
            await publisher.send(topic, _original(store, list(group)), target)
        store.insert("dead_letter_replays", [_note(each) for each in chunk])
    return len(replayable)


def _order(letter: Letter) -> tuple[str, int, str, int, int]:
    return letter.topic, letter.partition, letter.incarnation, letter.offset, letter.item


def _original(store: Store, letters: Sequence[Letter]) -> Iterator[tuple[bytes | None, bytes]]:
    """Key and value of letters of one topic, in their order."""
    wanted = ", ".join(f"('{each.incarnation}', {each.partition}, {each.offset}, {each.item})" for each in letters)
    rows = store.rows(
        "select incarnation, partition, offset, item, hex(key), key is null, hex(payload) from dead_letters final"
        f" where topic = %(topic)s and ({ORIGIN}) in ({wanted})",
        topic=letters[0].topic,
    )
    found = {tuple(row[:4]): row[4:] for row in rows}
    for each in letters:
        key, keyless, payload = found[each.incarnation, each.partition, each.offset, each.item]
        # A member of a batch travelled under the key of its batch; alone, its key is its own id.
        own = each.event_id.encode() if each.item >= 0 and each.event_id else None
        yield own or (None if keyless else bytes.fromhex(key)), bytes.fromhex(payload)


def _note(letter: Letter) -> dict[str, object]:
    at = datetime.fromtimestamp(clock.now_us() / 1_000_000, UTC)
    names = ("topic", "incarnation", "partition", "offset", "item")
    return {**{name: getattr(letter, name) for name in names}, "replayed_at": at}
