"""Comparing documents with what is in force, publishing the difference, and waiting until every service holds it."""

import asyncio
import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from aiokafka.errors import KafkaError

from spendstream.control.checks import check_against, check_spec, identity, priced
from spendstream.control.files import Problem, Source
from spendstream.runtime import clock, heartbeats
from spendstream.runtime.control import ORG_MARK, ControlLog, Document, digest_of, document_key, spec_json
from spendstream.runtime.kafka.publisher import Publisher
from spendstream.runtime.kafka.reader import read_all
from spendstream.runtime.retry import NotNowError
from spendstream.runtime.settings import Settings
from spendstream.schemas import encode

#: Prices with what each is about and since when.
Prices = Sequence[tuple[tuple[tuple[str, ...], int] | None, Document]]
LARGEST_BYTES = 900_000  # brokers take 1 MiB; names, digest and framing come on top


@dataclass(frozen=True)
class Change:
    """What applying one document does: `new`, `changed` or `same`."""

    source: Source
    key: str
    action: str
    revision: int
    before: Document | None
    #: The price that was in force where a new one begins, under whatever name.
    ends: Document | None = None


@dataclass(frozen=True)
class Acknowledgements:
    """Which running service instances hold a control offset, and which did not in time."""

    held: Sequence[str]
    missing: Sequence[str]


def validate(sources: Sequence[Source]) -> list[Problem]:
    """Every problem of every document, and identities that occur twice."""
    problems = [
        source.problem(path, message)
        for source in sources
        for path, message in check_spec(source.org, source.kind, source.name, source.spec)
    ]
    problems += [
        source.problem("", f"is {size:,} bytes: at most {LARGEST_BYTES:,} fit on the topic")
        for source in sources
        if (size := len(spec_json(source.spec).encode())) > LARGEST_BYTES
    ]
    seen: dict[tuple[str, str], Source] = {}
    for source in sources:
        key = (source.org, identity(source.kind, source.name, source.spec))
        if key in seen:
            problems.append(source.problem("", f"is already declared at {seen[key].file}:{seen[key].line}"))
        seen.setdefault(key, source)
    return problems


async def load_control(settings: Settings) -> ControlLog:
    """Everything on the control topic."""
    log = ControlLog()
    for record in await read_all(settings, "control"):
        log.add(record.offset, record.key, record.value)
    return log


def as_documents(sources: Sequence[Source]) -> list[Document]:
    """What files declare, as if they alone had been applied."""
    return [
        Document(i, "", source.org, source.kind, source.name, source.spec, 0, 1, "", "")
        for i, source in enumerate(sources)
    ]


def plan_changes(sources: Sequence[Source], log: ControlLog) -> list[Change]:
    """What applying would change. A price keeps its revisions: a changed one gets the next number."""
    newest: dict[tuple[str, str], Document] = {}
    for document in log.documents():
        key = (document.org, identity(document.kind, document.name, document.spec))
        if key not in newest or newest[key].revision < document.revision:
            newest[key] = document
    declared = newest.values() if any(source.kind == "Price" for source in sources) else ()
    prices = [(priced(document.spec), document) for document in declared if document.kind == "Price"]
    return [
        _change(source, newest.get((source.org, identity(source.kind, source.name, source.spec))), prices)
        for source in sources
    ]


def _in_force(source: Source, prices: Prices) -> Document | None:
    """The price of the same model, or GPU, and region where one begins; of two the one known later."""
    if source.kind != "Price" or (mine := priced(source.spec)) is None:
        return None
    earlier = [
        (found[1], document.offset, document)
        for found, document in prices
        if document.org == source.org and found is not None and found[0] == mine[0] and found[1] <= mine[1]
    ]
    return max(earlier, key=lambda each: each[:2])[2] if earlier else None


def keys_of(name: str, org: str, log: ControlLog) -> list[str]:
    """Topic keys of everything called `kind/name`: all of a price's revisions, also what cannot be read any more."""
    readable = [
        document.key
        for document in log.documents()
        if document.org == org and f"{document.kind}/{document.name}" == name
    ]
    return readable + [key for key in sorted(log.unreadable) if key not in readable and _means(key, name, org)]


def similar(name: str, org: str, log: ControlLog) -> list[str]:
    """At most three documents of the organisation that are called so, or nearly so."""
    names = sorted({f"{document.kind}/{document.name}" for document in log.documents() if document.org == org})
    exact = [full for full in names if full.partition("/")[2] == name]
    return exact[:3] or get_close_matches(name, names, n=3)


def _means(key: str, name: str, org: str) -> bool:
    """Whether a key may belong to `kind/name`; a price's key ends with its start and its revision."""
    identity, _, owner = key.partition(ORG_MARK)
    if identity.startswith("Price/"):
        identity = identity.rsplit("/", 2)[0]
    return identity == name and (owner or "default") == org


def _change(source: Source, before: Document | None, prices: Prices) -> Change:
    same = before is not None and before.digest == digest_of(source.kind, source.name, source.spec)
    revision = 1 if before is None else before.revision + (0 if same else 1)
    key = f"{source.kind}/{source.name}"
    if source.kind == "Price":
        key = f"{identity(source.kind, source.name, source.spec)}/{revision}"
    key = document_key(source.org, key)
    ends = before if before is not None else _in_force(source, prices)
    return Change(source, key, "same" if same else "new" if before is None else "changed", revision, before, ends)


def suspicious(changes: Sequence[Change]) -> list[Problem]:
    """Price changes beyond the sanity bound."""
    return [
        change.source.problem(path, f"{message}, compared with Price/{change.ends.name} (use --force if it is meant)")
        for change in changes
        if change.action != "same" and change.ends is not None
        for path, message in check_against(change.source.kind, change.ends.spec, change.source.spec)
    ]


async def publish(publisher: Publisher, changes: Sequence[Change]) -> int:
    """Publish what is new or changed; returns the control offset behind it (0: nothing was published)."""
    known_at, author = clock.now_us(), getpass.getuser()
    # All of them are encoded before the first is sent: what cannot be encoded must not leave half behind.
    records = [
        (change.key.encode(), _encoded(change, known_at, author)) for change in changes if change.action != "same"
    ]
    return await _send(publisher, records)


def _encoded(change: Change, known_at: int, author: str) -> bytes:
    source = change.source
    record = {
        "org": source.org, "kind": source.kind, "name": source.name, "spec_json": spec_json(source.spec),
        "known_at": known_at, "revision": change.revision, "author": author,
        "digest": digest_of(source.kind, source.name, source.spec),
    }  # fmt: skip
    return encode("ControlDocument", record)


async def _send(publisher: Publisher, records: Sequence[tuple[bytes, bytes | None]]) -> int:
    """Send in order; returns the offset behind the last one (0: none). `NotNowError` says how many are on the topic."""
    offset = 0
    for done, (key, value) in enumerate(records):
        try:
            metadata = await publisher.producer.send_and_wait("control", value=value, key=key, partition=0)
        except (KafkaError, OSError) as error:
            said = f"{done} of {len(records)} documents are published; give the same command again"
            raise NotNowError(f"publishing to control: {error!r}: {said}") from error
        offset = metadata.offset + 1
    return offset


async def delete(publisher: Publisher, keys: Sequence[str]) -> int:
    """Publish tombstones; returns the control offset behind them."""
    return await _send(publisher, [(key.encode(), None) for key in keys])


async def await_services(settings: Settings, offset: int, timeout_s: float = 15.0) -> Acknowledgements:
    """Wait until every running service instance has said that it holds `offset`."""
    deadline = clock.now_us() + int(timeout_s * 1_000_000)
    while True:
        alive = await heartbeats.running(settings)
        held = sorted(name for name, beat in alive.items() if beat.control_offset >= offset)
        missing = sorted(set(alive) - set(held))
        if not missing or clock.now_us() > deadline:
            return Acknowledgements(held, missing)
        await asyncio.sleep(0.3)
