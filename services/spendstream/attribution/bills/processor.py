"""Invoice lines from `billing` into `billing_items`; what can never be a line goes to `billing-dlq`."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import faust
import pyarrow as pa
from faust.types import TP

from spendstream.domain.billing.ledger_row import UnusableError, ledger_row
from spendstream.runtime.dead_letters import DeadLetters, Rejection
from spendstream.runtime.kafka.consume import Run, build_app
from spendstream.runtime.kafka.incarnations import topic_ids
from spendstream.runtime.kafka.transport import Record, RunOptions
from spendstream.runtime.projection.tables import KINDS
from spendstream.runtime.service import Context
from spendstream.schemas import Undecodable, decode

TOPIC = "billing"
TABLE = "billing_items"
LINGER_MS = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SECONDS = pa.timestamp("s", "UTC")
EXACT = pa.decimal256(76, 30)
COLUMNS = {
    "text": "org line_id provider_name billing_account_id billing_account_name billing_currency charge_category"
    " charge_class charge_description service_category service_name publisher_name invoice_issuer_name region_id"
    " resource_id sku_id sub_account_id source_file pricing_unit consumed_unit pricing_currency commitment_discount_id"
    " commitment_discount_status team project environment cost_center provider model spend_category fx_date content"
    " incarnation",
    "usd": "billed_cost effective_cost list_cost contracted_cost consumed_quantity pricing_quantity"
    " pricing_currency_effective_cost billed_tokens billed_requests",
    "rate": "fx_rate",
    "int": "source_row version offset",
    "map": "tags columns",
    "seconds": "billing_period_start billing_period_end charge_period_start charge_period_end",
    "exact": "original_billed_cost original_effective_cost original_list_cost original_contracted_cost",
    "small": "cost_decimals",
    "flag": "withdrawn",
}
TYPES = {
    **KINDS,
    "seconds": SECONDS,
    "exact": EXACT,
    "rate": pa.decimal128(38, 18),
    "small": pa.uint8(),
    "flag": pa.bool_(),
}
SCHEMA = pa.schema([pa.field(name, TYPES[kind]) for kind, names in COLUMNS.items() for name in names.split()])


class BillProcessor:
    """Processor of `billing`: every record becomes one row, written again unchanged after a replay."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._letters = DeadLetters(context.publisher, context.service, TOPIC)
        self._incarnation = ""
        #: True while this worker reads the topic (it has one partition).
        self.reads = False

    def app(self, group: str) -> faust.App:
        """Faust app that reads the topic."""
        return build_app(self._context.settings, group, [TOPIC], self, RunOptions(linger_ms=LINGER_MS))

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        self.reads = bool(partitions)
        # A broker without topic ids starts empty: offsets alone must do there.
        self._incarnation = (await topic_ids(self._context.settings, [TOPIC]))[TOPIC] or "0"
        return {}

    async def revoked(self) -> None:
        self.reads = False

    async def process(self, run: Run) -> None:
        table, rejections = await asyncio.to_thread(rows_of, run, self._incarnation)
        if rejections:
            await self._letters.send(self._incarnation, run.partition, rejections)
        await self._context.clickhouse.insert(TABLE, table)


def rows_of(run: Run, incarnation: str) -> tuple[pa.Table, list[Rejection]]:
    """Rows and dead letters of a run."""
    rows: list[dict[str, Any]] = []
    rejections: list[Rejection] = []
    for record in run.records:
        line = ""
        try:
            item = _item(record)
            line = f"{item['provider_name']}/{item['line_id']}"
            row = ledger_row(item, (record.timestamp or 0) * 1_000)
            rows.append({**row, "incarnation": incarnation, "offset": record.offset})
        except (Undecodable, UnusableError) as error:
            rejections.append(Rejection(record, -1, error.reason, str(error), record.value, event_id=line))
    columns = {field.name: _column(field, [row[field.name] for row in rows]) for field in SCHEMA}
    return pa.table(columns, schema=SCHEMA), rejections


def _item(record: Record) -> dict[str, Any]:
    """The item of a record, its times in microseconds."""
    name, item = decode(record.value)
    if name != "BillingItem":
        raise Undecodable("undecodable", f"a {name} is not a BillingItem")
    return {
        key: (value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value
        for key, value in item.items()
    }


def _column(field: pa.Field, values: list[Any]) -> pa.Array:
    if field.type == SECONDS:
        values = [value // 1_000_000 for value in values]
    elif pa.types.is_map(field.type):
        values = [list(value.items()) for value in values]
    return pa.array(values, type=field.type)
