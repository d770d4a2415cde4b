"""Attribution: cost = tokens × price in force at occurred_at, to the owner of the event.

Reads    usage, corrections, gpu-telemetry, control, attribution-plans (its own write-ahead log); billing.
Writes   attribution-plans, costs, corrections, usage-dlq, gpu-telemetry-dlq, billing-dlq, alerts; ClickHouse charges,
         rate_cards and ledger_ranges (second cursor), cost_by_minute, corrections, gpu_samples, gpu_costs,
         billing_items.
State    per usage partition: ids seen, open minutes, watermark; per partition of corrections: revisions that counted
         and sums of the running block; on disk under SPENDSTREAM_HOME, or rebuilt from Kafka.
Walk     app.py → processor.py (first cursor: plan, publish) → batch.py (decode, rate, settle) → rows.py
         → ledger.py (second cursor: charges) → cards.py (what the prices of those charges say);
         repair.py (a price came late) → corrections.py (what counts, into costs);
         gpu.py (readings) → gpu_rows.py, gpu_repair.py (prices that came later);
         billing.py (invoice lines), reconciliation.py (invoices against estimates).
"""
