"""One batch from bytes to settled money. `rate` needs no state; `settle` applies what was decided about duplicates."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spendstream.attribution.limit import FUTURE_US
from spendstream.attribution.usage.positions import unpack_positions
from spendstream.domain.attribution.dedup import Verdicts
from spendstream.domain.prices import STATUSES, UNPRICED_REASONS, Rated
from spendstream.domain.rollups import LATE_BLOCK, MINUTE_US, ON_TIME, lateness
from spendstream.domain.tokens import BUCKETS, INPUT_BUCKETS, MAX_TOKENS, MISMATCH, REJECT_REASONS, REPORTED, normalise
from spendstream.rating import Book
from spendstream.runtime.dead_letters import Rejection
from spendstream.runtime.kafka import attributes
from spendstream.runtime.kafka.columns import Columns, Members, decode_columns
from spendstream.runtime.kafka.transport import Record

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

#: A latency beyond this is nonsense: it counts as this in sums, so that no minute's sum overflows.
LONGEST_MS = 30 * 86_400_000
LONGEST_TEXT = 1_000
SELF_HOSTED = ("self-hosted", "self_hosted", "vllm", "ollama")
# Free-form tags and the trace id may differ between two sends of one event; everything else is its content.
NOT_CONTENT = ("org", "event_id", "trace_id", attributes.NAME)
# What nothing behind pricing reads: every column that is carried on is filtered, copied and held for the ledger.
DONE_WITH = (
    *REPORTED, "convention", "service_tier", "route", "prompt_simhash", "prefix_hash", "complexity", "criticality",
)  # fmt: skip
NAMES = (
    "org", "event_id", "team", "project", "environment", "cost_center", "service", "feature", "user_id", "api_key_id",
    "provider", "model", "operation", "region", "service_tier", "status", "route", "prompt_hash", "session_id",
    "trace_id",
)  # fmt: skip
TEXTS = ("project", "feature", "user_id", "api_key_id", "region", "prompt_hash", "session_id", "trace_id")


@dataclass(frozen=True)
class RatedBatch:
    """Decoded, rated events of a range in log order, with what was refused. Arrays have one entry an event."""

    records: Sequence[Record]
    columns: Columns
    events: pl.DataFrame
    valid: Bools
    reasons: list[str]
    ids: npt.NDArray[np.uint64]
    content: npt.NDArray[np.uint32]

    @property
    def size(self) -> int:
        """Events and undecodable records."""
        return self.events.height + len(self.columns.rejects)

    @property
    def appended_ms(self) -> int:
        """Broker time of the newest record."""
        return max((record.timestamp or 0) for record in self.records)


@dataclass(frozen=True)
class Settled:
    """What a batch comes to: counted events ready for roll-ups and charges, dead letters, conservation counts."""

    counted: pl.DataFrame
    rejections: list[Rejection]
    counts: dict[str, int]
    watermark: int


def rate(records: Sequence[Record], book: Book, kept: Collection[str] = ()) -> RatedBatch:
    """Decode, normalise, price and own the events of consecutive records; `kept`: names of attributes to keep."""
    columns = decode_columns(records, "Usage", "UsageBatch", kept)
    usage = columns.events.with_columns(pl.col("occurred_at").cast(pl.Int64))
    normalised = normalise(usage)
    rated = book.prices.rate(usage, normalised)
    occurred = usage["occurred_at"].to_numpy()
    appended = np.array([record.timestamp or 0 for record in records], dtype=np.int64)
    offsets = np.array([record.offset for record in records], dtype=np.int64)
    clock = (occurred > appended[columns.record] * 1_000 + FUTURE_US) | (occurred < 0)
    nameless = (usage["event_id"] == "").to_numpy()
    identity = usage.select("org", "event_id").hash_rows(seed=1).to_numpy()
    content = usage.drop(NOT_CONTENT, strict=False).hash_rows(seed=2).to_numpy()
    events = usage.drop(DONE_WITH).with_columns(
        rated.provider.series("provider"),
        rated.model.series("model"),
        *_renamed(usage, rated),
        rated.tier.series("tier"),
        rated.price_id.series("price_id"),
        pl.Series("status_code", rated.status),
        pl.Series("unpriced_reason", UNPRICED_REASONS, pl.String).gather(rated.unpriced_reason),
        pl.Series("cost_pico_usd", rated.cost_pico_usd),
        pl.Series("offset", offsets[columns.record]),
        pl.Series("appended_ms", appended[columns.record]),
        pl.Series("item", columns.item),
        *(pl.Series(f"{bucket}_tokens", normalised.buckets[bucket]) for bucket in BUCKETS),
        *_mismatch(usage, normalised.token_mismatch),
    )
    untagged = book.owners.quarantined(events)
    wordy = _too_long(usage)
    refused = clock | nameless | wordy | rated.rejected
    valid = ~refused if untagged is None else ~(refused | untagged)
    reasons = [
        "clock" if clock[i]
        else "missing_event_id" if nameless[i]
        else "text_limit" if wordy[i]
        else REJECT_REASONS[rated.reject_reason[i]] if rated.rejected[i]
        else "missing_tag"
        for i in np.flatnonzero(~valid).tolist()
    ]  # fmt: skip
    return RatedBatch(records, columns, events, valid, reasons, identity, (content >> np.uint64(32)).astype(np.uint32))


def _renamed(usage: pl.DataFrame, rated: Rated) -> list[pl.Series]:
    """Provider and model as the events said them, which a later price may be about. No columns where no name was an
    alias."""
    names = [("provider", rated.provider), ("model", rated.model)]
    if all((usage[name] == of.series(name)).all() for name, of in names):
        return []
    return [usage[name].alias(f"reported_{name}") for name, _ in names]


def _mismatch(usage: pl.DataFrame, found: Ints) -> list[pl.Series]:
    """By how many tokens reported totals differ from their classes: what the reader of the payload said, else what the
    normaliser found. No column where all agree."""
    mismatch = pl.Series(MISMATCH, found)
    if attributes.NAME in usage.columns:
        said = attributes.attribute(usage[attributes.NAME], MISMATCH).cast(pl.Int64, strict=False)
        mismatch = said.clip(-MAX_TOKENS, MAX_TOKENS).fill_null(mismatch).alias(MISMATCH)
    return [mismatch] if (mismatch != 0).any() else []


def _too_long(usage: pl.DataFrame) -> Bools:
    """Events with a text nobody could use: it would be repeated in every roll-up row."""
    longest = usage.select(pl.max_horizontal(pl.col(NAMES).str.len_bytes()).fill_null(0).alias("bytes"))["bytes"]
    return (longest > LONGEST_TEXT).to_numpy()


def settle(batch: RatedBatch, verdicts: Verdicts, book: Book, watermark: int, allowed_us: int) -> Settled:
    """Counted events with owner, lateness and sums; `verdicts` has one entry an event, false where it is not valid."""
    events = batch.events
    counted = events if verdicts.new.all() else events.filter(pl.Series(verdicts.new))
    counted = book.owners.fill(counted)
    late, watermark = lateness(counted["occurred_at"].to_numpy(), watermark, allowed_us)
    offset = counted["offset"].to_numpy()
    counted = _with_sums(counted).with_columns(
        (pl.col("occurred_at") // MINUTE_US * MINUTE_US).alias("minute"),
        pl.Series("late_block", np.where(late, offset // LATE_BLOCK, ON_TIME)),
    )
    rejections = _rejections(batch, verdicts)
    statuses = np.bincount(counted["status_code"].to_numpy(), minlength=3)
    counts = {
        "events": batch.size,
        "priced": int(statuses[0]),
        "partial": int(statuses[1]),
        "unpriced": int(statuses[2]),
        "duplicate": int(verdicts.duplicate.sum()),
        "rejected": len(rejections),
    }
    return Settled(counted, rejections, counts, watermark)


def _with_sums(events: pl.DataFrame) -> pl.DataFrame:
    """The columns roll-ups and charges need, nulls filled."""
    failed = pl.col("status") != "ok"
    in_house = pl.col("provider").is_in(SELF_HOSTED)
    status = pl.col("status_code")
    return events.with_columns(
        *(pl.col(name).fill_null("") for name in TEXTS),
        pl.when(in_house).then(pl.lit("compute_inference")).otherwise(pl.lit("external_apis")).alias("category"),
        pl.lit(1, dtype=pl.Int64).alias("events"),
        pl.when(failed).then(pl.col("requests")).otherwise(0).alias("error_requests"),
        pl.when(failed).then(pl.col("cost_pico_usd")).otherwise(0).alias("error_cost_pico_usd"),
        pl.col("cache_hit").cast(pl.Int64).alias("cache_hits"),
        *((status == code).cast(pl.Int64).alias(f"{name}_events") for code, name in enumerate(STATUSES[:3])),
        pl.col("latency_ms").clip(0, LONGEST_MS).alias("latency_ms_sum"),
        pl.when(pl.col("max_tokens").is_null()).then(pl.col("requests")).otherwise(0).alias("uncapped_requests"),
        pl.sum_horizontal(f"{bucket}_tokens" for bucket in INPUT_BUCKETS).alias("input_total_tokens"),
        pl.sum_horizontal(f"{b}_tokens" for b in BUCKETS if b not in INPUT_BUCKETS).alias("output_total_tokens"),
        pl.Series("status_name", STATUSES, pl.String).gather(events["status_code"]).alias("status_name"),
    )


def _rejections(batch: RatedBatch, verdicts: Verdicts) -> list[Rejection]:
    found = [
        Rejection(record := batch.records[reject.record], reject.item, reject.reason, reject.detail, record.value)
        for reject in batch.columns.rejects
    ]
    refused = zip(np.flatnonzero(~batch.valid).tolist(), batch.reasons, strict=True)
    conflicts = ((i, "conflict") for i in np.flatnonzero(verdicts.conflict).tolist())
    overflows = ((i, "amount_overflow") for i in np.flatnonzero(verdicts.overflow).tolist())
    members = Members("UsageBatch", "Usage")
    found += [_rejection(batch, i, reason, members) for i, reason in [*refused, *conflicts, *overflows]]
    return found


DETAILS = {
    "clock": "occurred_at is before 1970 or more than five minutes ahead of the broker",
    "conflict": "the event id was used before with other content; the first one counts",
    "negative_tokens": "a token count is negative",
    "negative_bucket": "token classes exceed the total that contains them",
    "token_limit": "a count is beyond what a call can have",
    "amount_overflow": "the amount, or with it the sum of its minute, does not fit 64-bit pico-dollars",
    "missing_event_id": "event_id is empty",
    "text_limit": f"a name or id is longer than {LONGEST_TEXT} bytes",
    "missing_tag": "a tag its policy requires is missing or not in the owner registry",
}


def _rejection(batch: RatedBatch, i: int, reason: str, members: Members) -> Rejection:
    record, item = batch.records[int(batch.columns.record[i])], int(batch.columns.item[i])
    org, event_id = batch.events.select("org", "event_id").row(i)
    return Rejection(
        record, item, reason, DETAILS.get(reason, reason), members.original_bytes(record, item),
        org, event_id,
    )  # fmt: skip


def planned_verdicts(batch: RatedBatch, plan: Mapping[str, Any]) -> Verdicts:
    """What the plan decided about each event."""
    size = batch.valid.size
    duplicate = unpack_positions(plan["duplicates"], size)
    conflict = unpack_positions(plan["conflicts"], size)
    overflow = unpack_positions(plan["overflows"], size)
    return Verdicts(batch.valid & ~duplicate & ~conflict & ~overflow, duplicate, conflict, overflow)
