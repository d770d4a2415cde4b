"""Attribution one event at a time, as one writes it by hand: plain dictionaries, no table, no framework.

The same work as the service: decode, normalise, drop what was seen before, price with tiers, own, sum up per minute,
rows for `charges`, roll-up rows, `costs` messages. Left out, and so cheaper than the service: exactly-once (plan log,
state that survives a restart), conflicts and dead letters, late minutes, the owner registry, the shipped catalogue.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import add, itemgetter
from pathlib import Path
from typing import Any

from loadgen.price_file import EPOCH, MICROSECOND, Key, Version, load_documents, read_documents
from loadgen.pricing import BUCKETS, INPUT_PLACES, Buckets, buckets_of, price_of
from spendstream.schemas import decode, encode

MINUTE_US = 60_000_000
SELF_HOSTED = ("self-hosted", "self_hosted", "vllm", "ollama")
OWNER = ("org", "team", "project", "environment", "cost_center", "service", "feature", "provider", "model", "category",
         "region", "tier")  # fmt: skip
CALLER = ("org", "team", "service", "model", "user_id", "api_key_id")
TOKEN_SUMS = tuple(f"{bucket}_tokens" for bucket in BUCKETS)
SUMS = ("events", "requests", "error_requests", "cache_hits", "priced_events", "partial_events", "unpriced_events",
        *TOKEN_SUMS, "cost_pico_usd", "error_cost_pico_usd", "latency_ms_sum", "uncapped_requests")  # fmt: skip
CHARGES = (
    "org", "event_id", "ts", "appended_at", "team", "project", "environment", "cost_center", "service", "feature",
    "user_id", "api_key_id", "provider", "model", "operation", "category", "region", "tier", "status",
    "unpriced_reason", "call_status", "owner_source", "price_id", "requests", "input_tokens", "output_tokens",
    *TOKEN_SUMS, "cost_usd", "reported_cost_usd", "latency_ms", "cache_hit", "max_tokens", "prompt_hash", "session_id",
    "trace_id", "incarnation", "partition", "offset", "item",
)  # fmt: skip
_owner, _caller = itemgetter(*OWNER), itemgetter(*CALLER)
INCARNATION = "bench"
WORKER = 0  # roll-up rows belong to the worker: fewer rows than by partition, but nobody could take them over
FLUSH_EVENTS = 20_000  # as many as the service has in a batch
FLUSH_EVERY_S = 1.0


class PriceTable:
    """Price documents as a dictionary; what is not in it is unpriced."""

    def __init__(self, documents: Iterable[Mapping[str, Any]]) -> None:
        self._versions: dict[Key, list[Version]] = read_documents(documents, "prices")

    @classmethod
    def load(cls, path: Path) -> "PriceTable":
        return cls(load_documents(path))

    def price(self, event: Mapping[str, Any], buckets: Buckets, moment: int, tier: str) -> tuple[int, str]:
        """(cost_pico_usd, status) of an event at `moment` (microseconds)."""
        versions = self._versions.get((event["provider"], event["model"], None), ())
        found = next((v for v in reversed(versions) if v.start <= moment), None)
        if found is None or (found.end is not None and moment >= found.end):
            return 0, "unpriced"
        cost, status = price_of(found, buckets, event["requests"], tier)
        return (0 if event["cache_hit"] else cost), status


@dataclass(slots=True)
class Row:
    """A minute row: cumulative `sums` in the order of SUMS; `values` in the order of the grain's dimensions."""

    grain: str
    minute: int
    values: tuple[str, ...]
    epoch: int
    last_offset: int
    sums: list[int]

    def record(self) -> dict[str, Any]:
        """As a `CostRollup`."""
        dimensions = OWNER if self.grain == "owner" else CALLER
        return {
            "grain": self.grain, "minute": self.minute, "incarnation": INCARNATION,
            "source_partition": WORKER, "epoch": self.epoch, "last_offset": self.last_offset, "late": False,
            **dict(zip(dimensions, self.values, strict=True)), **dict(zip(SUMS, self.sums, strict=True)),
        }  # fmt: skip


@dataclass
class Batch:
    """What a flush writes: rows of `charges`, and the minute rows that changed."""

    events: int = 0
    charges: list[tuple[Any, ...]] = field(default_factory=list)
    minutes: dict[Any, Row] = field(default_factory=dict)

    def records(self) -> list[dict[str, Any]]:
        """The changed rows as they are now."""
        return [row.record() for row in self.minutes.values()]


def cost_message(record: dict[str, Any]) -> tuple[bytes, bytes]:
    """Key and value on `costs`."""
    dimensions = OWNER if record["grain"] == "owner" else CALLER
    key = "\x1f".join((record["grain"], *(record[name] for name in dimensions)))
    return key.encode(), encode("CostRollup", record)


class Attribution:
    """The state of one worker and what waits to be written."""

    def __init__(self, prices: PriceTable) -> None:
        self._prices = prices
        self._seen: set[tuple[str, str]] = set()
        self._minutes: dict[Any, Row] = {}
        self._batch = Batch()
        self._version = 0

    @property
    def waiting(self) -> int:
        """Events since the last `take`."""
        return self._batch.events

    def take(self) -> Batch:
        """What is to be written now; the next one starts empty."""
        batch, self._batch = self._batch, Batch()
        self._version += 1
        return batch

    def message(self, value: bytes, partition: int, offset: int, appended_ms: int) -> None:
        """One Kafka record: a `Usage` or a `UsageBatch`."""
        name, record = decode(value)
        events = record["events"] if name == "UsageBatch" else (record,)
        for item, event in enumerate(events):
            self._event(event, partition, offset, item if name == "UsageBatch" else -1, appended_ms)

    def _event(self, event: dict[str, Any], partition: int, offset: int, item: int, appended_ms: int) -> None:
        self._batch.events += 1
        identity = (event["org"], event["event_id"])
        if identity in self._seen:
            return
        self._seen.add(identity)
        buckets = buckets_of(event)
        moment = (event["occurred_at"] - EPOCH) // MICROSECOND
        tier = event["service_tier"] or "standard"
        cost, status = self._prices.price(event, buckets, moment, tier)
        self._own(event, tier)
        self._batch.charges.append(_charge(event, buckets, cost, status, partition, offset, item, appended_ms))
        minute = moment // MINUTE_US * MINUTE_US
        sums = _sums(event, buckets, cost, status)
        self._add("owner", _owner(event), sums, minute)
        if event["user_id"] or event["api_key_id"]:
            self._add("caller", _caller(event), sums, minute)

    @staticmethod
    def _own(event: dict[str, Any], tier: str) -> None:
        """Owner, category and tier in place; empty text instead of null."""
        event["owner_source"] = "event" if event["team"] else "unallocated"
        for tag in ("team", "project", "environment", "cost_center"):
            event[tag] = event[tag] or "unallocated"
        for name in ("feature", "user_id", "api_key_id", "region"):
            event[name] = event[name] or ""
        event["category"] = "compute_inference" if event["provider"] in SELF_HOSTED else "external_apis"
        event["tier"] = tier

    def _add(self, grain: str, values: tuple[str, ...], sums: tuple[int, ...], minute: int) -> None:
        """Add to the minute's cumulative row and mark it as changed."""
        key = (grain, minute, values)
        row = self._minutes.get(key)
        if row is None:
            row = self._minutes[key] = Row(grain, minute, values, self._version, self._version, list(sums))
        else:
            row.last_offset = self._version
            row.sums = list(map(add, row.sums, sums))
        self._batch.minutes[key] = row


def _sums(event: Mapping[str, Any], buckets: Buckets, cost: int, status: str) -> tuple[int, ...]:
    """An event's part of each of SUMS."""
    requests = event["requests"]
    failed = event["status"] != "ok"
    return (
        1, requests, requests if failed else 0, int(event["cache_hit"]),
        int(status == "priced"), int(status == "partial"), int(status == "unpriced"),
        *buckets, cost, cost if failed else 0, event["latency_ms"], requests if event["max_tokens"] is None else 0,
    )  # fmt: skip


def _charge(
    event: Mapping[str, Any], buckets: Buckets, cost: int, status: str, partition: int, offset: int, item: int,
    appended_ms: int,
) -> tuple[Any, ...]:  # fmt: skip
    """A row of `charges` in the order of CHARGES."""
    tokens_in = sum(buckets[place] for place in INPUT_PLACES)
    return (
        event["org"], event["event_id"], event["occurred_at"], datetime.fromtimestamp(appended_ms / 1000, UTC),
        event["team"], event["project"], event["environment"], event["cost_center"], event["service"],
        event["feature"], event["user_id"], event["api_key_id"], event["provider"], event["model"],
        event["operation"], event["category"], event["region"], event["tier"], status,
        "" if status != "unpriced" else "model", event["status"], event["owner_source"],
        "" if status == "unpriced" else f"{event['provider']}/{event['model']}", event["requests"], tokens_in,
        sum(buckets) - tokens_in, *buckets, usd(cost), usd(event["reported_cost_pico_usd"]), event["latency_ms"],
        event["cache_hit"], event["max_tokens"], event["prompt_hash"] or "", event["session_id"] or "",
        event["trace_id"] or "", INCARNATION, partition, offset, item,
    )  # fmt: skip


def usd(pico: int | None) -> Decimal | None:
    """Dollars, exactly."""
    return None if pico is None else Decimal(pico).scaleb(-12)


def utc(micros: int) -> datetime:
    """A moment as ClickHouse clients want it."""
    return EPOCH + timedelta(microseconds=micros)
