"""Which topics become which tables."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from spendstream.runtime.clickhouse.money import USD, usd_array
from spendstream.runtime.projection import ColumnProjection, Projection

MICROS = pa.timestamp("us", "UTC")
TEXT_MAP = pa.map_(pa.string(), pa.string())
Row = Mapping[str, Any]
PICO = Decimal(1).scaleb(-12)

INTS, TEXTS = pa.int64(), pa.string()
KINDS: dict[str, pa.DataType] = {"text": TEXTS, "int": INTS, "usd": USD, "time": MICROS, "map": TEXT_MAP}


def usd(pico: int | None) -> Decimal | None:
    """Dollars of pico-dollars, exactly."""
    return None if pico is None else Decimal(pico) * PICO


def _schema(**kinds: str) -> pa.Schema:
    """`_schema(text="a b", int="c")`: columns by kind."""
    return pa.schema([pa.field(name, KINDS[kind]) for kind, names in kinds.items() for name in names.split()])


def _take(record: Row, schema: pa.Schema, renamed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Columns of `schema` out of a record: `x_usd` is read from `x_pico_usd`."""
    found: dict[str, Any] = {}
    for column in schema:
        source = (renamed or {}).get(column.name, column.name)
        if column.type == USD:
            found[column.name] = usd(record[source.removesuffix("_usd") + "_pico_usd"])
        elif column.type == TEXT_MAP:
            found[column.name] = list(record[source].items())
        else:
            found[column.name] = record[source]
    return found


OWNER_COLUMNS = (
    "org", "team", "project", "environment", "cost_center", "service", "feature", "provider", "model", "category",
    "region", "tier", "minute", "incarnation", "source_partition", "epoch", "late", "last_offset", "events", "requests",
    "error_requests", "cache_hits", "priced_events", "partial_events", "unpriced_events", "input_uncached_tokens",
    "input_cache_read_tokens", "input_cache_write_5m_tokens", "input_cache_write_1h_tokens", "output_text_tokens",
    "output_reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "latency_ms_sum",
    "uncapped_requests",
)  # fmt: skip
CALLER_COLUMNS = (
    "org", "team", "service", "model", "user_id", "api_key_id", "minute", "incarnation", "source_partition", "epoch",
    "late", "last_offset", "events", "requests", "error_requests",
)  # fmt: skip


def _costs(grain: str, names: Sequence[str], money: Sequence[str], events: pl.DataFrame) -> pa.Table:
    rows = events.filter(pl.col("grain") == grain)
    table = rows.select(
        pl.col("source_partition").cast(pl.UInt16),
        pl.col("minute").cast(pl.Datetime("ms", "UTC")),
        pl.exclude("source_partition", "minute"),
    ).select(names).to_arrow()  # fmt: skip
    for name in money:
        table = table.append_column(name, usd_array(rows[name.removesuffix("_usd") + "_pico_usd"].to_numpy()))
    return table


OWNER_COSTS = ColumnProjection(
    "costs", "cost_by_minute", "CostRollup", partial(_costs, "owner", OWNER_COLUMNS, ("cost_usd", "error_cost_usd"))
)
CALLER_COSTS = ColumnProjection(
    "costs", "caller_cost_by_minute", "CostRollup", partial(_costs, "caller", CALLER_COLUMNS, ("cost_usd",))
)

LETTER_SCHEMA = pa.schema(
    [
        *_schema(
            text="topic incarnation reason detail service org event_id", int="offset", time="appended_at rejected_at"
        ),
        pa.field("partition", pa.uint16()),
        pa.field("item", pa.int32()),
        pa.field("key", pa.binary()),
        pa.field("payload", pa.binary()),
        pa.field("truncated", pa.bool_()),
    ]
)


def _letter(record: Row | None, offset: int, key: bytes | None) -> Row | None:
    return None if record is None else {field.name: record[field.name] for field in LETTER_SCHEMA}


DEAD_LETTERS = Projection("usage-dlq", "dead_letters", LETTER_SCHEMA, _letter)
GPU_DEAD_LETTERS = Projection("gpu-telemetry-dlq", "dead_letters", LETTER_SCHEMA, _letter)
BILLING_DEAD_LETTERS = Projection("billing-dlq", "dead_letters", LETTER_SCHEMA, _letter)

ALERT_SCHEMA = pa.schema(
    [
        *_schema(
            text="org alert_id kind name state severity title description owner root_cause link runbook",
            int="revision",
            map="scope",
            time="started_at updated_at resolved_at window_start window_end emitted_at",
            usd="limit_usd observed_usd expected_usd at_stake_usd per_hour_usd",
        ),
        pa.field("level", pa.float64()),
        pa.field("score", pa.float64()),
        pa.field("late", pa.bool_()),
    ]
)


def _alert(kinds: Sequence[str], record: Row | None, offset: int, key: bytes | None) -> Row | None:
    return _take(record, ALERT_SCHEMA) if record is not None and record["kind"] in kinds else None


def alerts(table: str, *kinds: str) -> Projection:
    """Alerts of some kinds into `alerts` or `anomalies`."""
    return Projection("alerts", table, ALERT_SCHEMA, partial(_alert, kinds))


RECOMMENDATION_SCHEMA = pa.schema(
    [
        *_schema(
            text="org recommendation_id kind title explanation evidence_query effort risk owner state",
            int="revision",
            map="target evidence",
            time="first_seen_at updated_at",
            usd="monthly_saving_usd low_usd high_usd realised_usd",
        ),
        pa.field("confidence", pa.float64()),
    ]
)


def _recommendation(record: Row | None, offset: int, key: bytes | None) -> Row | None:
    return None if record is None else _take(record, RECOMMENDATION_SCHEMA)


RECOMMENDATIONS = Projection("recommendations", "recommendations", RECOMMENDATION_SCHEMA, _recommendation)

AUDIT_SCHEMA = _schema(text="org author action kind name spec", int="control_offset revision", time="at")


def _audit(record: Row | None, offset: int, key: bytes | None) -> Row | None:
    kind, _, name = (key or b"").decode(errors="replace").partition("/")
    name, _, org = name.partition("\x1f")
    row = {"control_offset": offset, "kind": kind, "name": name, "action": "delete"}
    if record is None:
        return {
            **row,
            "org": org or "default",
            "author": "",
            "spec": "",
            "revision": 0,
            "at": datetime.fromtimestamp(0, UTC),
        }
    return {
        **row, "org": record["org"], "author": record["author"], "action": "apply", "name": record["name"],
        "spec": record["spec_json"], "revision": record["revision"], "at": record["known_at"],
    }  # fmt: skip


CONTROL = Projection("control", "audit_log", AUDIT_SCHEMA, _audit)

PRICE_SCHEMA = _schema(text="org name spec author", int="revision control_offset", time="effective_from known_at")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _price(record: Row | None, offset: int, key: bytes | None) -> Row | None:
    """A revision of a price; its key is `Price/<name>/<effective_from, microseconds>/<revision>`."""
    if record is None or record["kind"] != "Price" or key is None:
        return None
    start = key.decode().partition("\x1f")[0].rsplit("/", 2)[1]
    return {
        "org": record["org"], "name": record["name"], "effective_from": EPOCH + timedelta(microseconds=int(start)),
        "revision": record["revision"], "known_at": record["known_at"], "spec": record["spec_json"],
        "author": record["author"], "control_offset": offset,
    }  # fmt: skip


PRICES = Projection("control", "prices", PRICE_SCHEMA, _price)

BUDGET_STATUS_SCHEMA = pa.schema(
    [
        *_schema(
            text="org budget state severity",
            map="scope",
            time="window_start window_end updated_at",
            usd="amount_usd spent_usd forecast_usd",
        ),
        pa.field("share", pa.float64()),
    ]
)
