"""Control documents held live: read from the compacted topic at start, followed ever after."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from spendstream.runtime.kafka.reader import partition_reader, read_batches
from spendstream.runtime.retry import retrying
from spendstream.runtime.settings import Settings
from spendstream.schemas import decode

log = structlog.get_logger()
TOPIC = "control"
ORG_MARK = "\x1f"
DECIMAL = "$decimal"  # marks a number in spec_json; fields of documents must not begin with $


@dataclass(frozen=True)
class Document:
    """One applied document. `spec` holds decimals for numbers; `offset` is its place on the control topic."""

    offset: int
    key: str
    org: str
    kind: str
    name: str
    spec: Mapping[str, Any]
    known_at: int
    revision: int
    author: str
    digest: str


def digest_of(kind: str, name: str, spec: Mapping[str, Any]) -> str:
    """Content identity of a document: applying equal content again changes nothing."""
    return hashlib.sha256(spec_json({"kind": kind, "name": name, "spec": spec}).encode()).hexdigest()


def spec_json(spec: Mapping[str, Any]) -> str:
    """Canonical JSON; decimals as plain numbers, so that reading them back as Decimal is exact."""
    return json.dumps(_plain(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return {DECIMAL: _digits(value)}
    return value


def _digits(value: Decimal) -> str:
    """Plain digits without trailing zeros; `Decimal.normalize` would round to the context's precision."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def document_key(org: str, identity: str) -> str:
    """Key on the topic: `kind/name`, for another organisation than `default` with its name behind a unit separator."""
    return identity if org == "default" else f"{identity}{ORG_MARK}{org}"


def parse_spec(text: str) -> dict[str, Any]:
    """The inverse of `spec_json`; `ValueError` for what it never writes."""
    parsed = json.loads(text, parse_float=Decimal, object_hook=_number)
    if not isinstance(parsed, dict):
        raise ValueError("a spec must be a mapping")
    return parsed


def _number(node: dict[str, Any]) -> Any:
    if set(node) != {DECIMAL}:
        return node
    try:
        number = Decimal(node[DECIMAL])
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"{DECIMAL} {node[DECIMAL]!r} is no number") from error
    if not number.is_finite():
        raise ValueError(f"{DECIMAL} {node[DECIMAL]!r} is no number")
    return number


class ControlLog:
    """Every document by control offset, so that the state at any offset since start can be had again."""

    def __init__(self) -> None:
        self.offset = 0
        self.unreadable: set[str] = set()  # keys whose newest record cannot be read: a tombstone ends them, too
        self._history: dict[str, list[tuple[int, Document | None]]] = {}

    def add(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take one record of the topic; an unreadable one is logged and skipped."""
        self.offset = offset + 1
        name = (key or b"").decode(errors="replace")
        self.unreadable.discard(name)
        if value is None:
            self._history.setdefault(name, []).append((offset, None))
            return
        try:
            _, record = decode(value)
            document = _document(offset, name, record)
        except Exception as error:  # whatever a record holds: it must not keep every service from starting
            self.unreadable.add(name)
            log.error("control document cannot be read", key=name, offset=offset, error=str(error))
            return
        self._history.setdefault(name, []).append((offset, document))

    def documents(self, kind: str | None = None, at: int | None = None) -> Iterator[Document]:
        """Documents in force just before control offset `at` (default: now), in key order."""
        bound = self.offset if at is None else at
        for key in sorted(self._history):
            current: Document | None = None
            for offset, document in self._history[key]:
                if offset < bound:
                    current = document
            if current is not None and (kind is None or current.kind == kind):
                yield current

    def last_change(self, kinds: frozenset[str], at: int) -> int:
        """Offset behind the last change of these kinds before `at`: the identity of what is compiled from them."""
        latest = 0
        for key, versions in self._history.items():
            if key.split("/", 1)[0] in kinds:
                latest = max([latest, *(offset + 1 for offset, _ in versions if offset < at)])
        return latest


def _document(offset: int, key: str, record: Mapping[str, Any]) -> Document:
    return Document(
        offset=offset,
        key=key,
        org=record["org"],
        kind=record["kind"],
        name=record["name"],
        spec=parse_spec(record["spec_json"]),
        known_at=int(record["known_at"].timestamp() * 1_000_000),
        revision=int(record["revision"]),
        author=record["author"],
        digest=record["digest"],
    )


class ControlFollower:
    """Keeps a `ControlLog` up to date in the background and tells listeners about changes."""

    def __init__(self, settings: Settings) -> None:
        self.log = ControlLog()
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each group of new documents."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Return once everything that is on the topic now has been read."""
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._follow(ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self, ready: asyncio.Event) -> None:
        while True:
            await retrying("following control", lambda: self._read(ready), retry_on=(KafkaError, OSError))

    async def _read(self, ready: asyncio.Event) -> None:
        async with partition_reader(self._settings, TOPIC, 0, self.log.offset) as consumer:
            async for records in read_batches(consumer, TOPIC, 0):
                self._take(records)
            ready.set()
            while True:
                for records in (await consumer.getmany(timeout_ms=1_000)).values():
                    self._take(records)

    def _take(self, records: list[Any]) -> None:
        for record in records:
            self.log.add(record.offset, record.key, record.value)
        for listener in self._listeners:
            listener()
