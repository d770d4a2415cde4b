"""Prometheus metrics of the shared machinery; each service declares its own beside its logic."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)

events_total = Counter("spendstream_events", "Usage events by what became of them", ["partition", "outcome"])
batch_seconds = Histogram("spendstream_batch_seconds", "Time to process one batch", ["stage"], buckets=SECONDS)
lag_records = Gauge("spendstream_lag_records", "Records not yet processed", ["topic", "partition"])
dead_letters_total = Counter("spendstream_dead_letters", "Records rejected for ever", ["topic", "reason"])
corrections_total = Counter("spendstream_corrections", "Corrections by what became of them", ["outcome"])
insert_rows_total = Counter("spendstream_insert_rows", "Rows written to ClickHouse", ["table"])
ledger_behind = Gauge(
    "spendstream_ledger_behind_records", "Records attributed but not yet in ClickHouse", ["partition"]
)
dedup_ids = Gauge("spendstream_dedup_ids", "Event ids held for deduplication", ["partition"])
dedup_horizon_seconds = Gauge("spendstream_dedup_horizon_seconds", "Age of the oldest event id held", ["partition"])
control_offset = Gauge("spendstream_control_offset", "Control documents below this offset are in force")
