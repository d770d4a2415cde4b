"""Attribution: cost = tokens × price in force at occurred_at, to the owner of the event.

Rooms    usage/        events → charges and costs: the hot path
         corrections/  what a price that is known now changes about charges, into the same costs
         gpu/          readings × price per hour, shared among whoever holds and uses the device, and their corrections
         bills/        invoice lines, and invoices against estimates
Reads    usage, corrections, gpu-telemetry, gpu-corrections, billing, control, attribution-plans (its own write-ahead
         log).
Writes   attribution-plans, costs, corrections, gpu-corrections, alerts, usage-dlq, gpu-telemetry-dlq, billing-dlq;
         ClickHouse.
State    under SPENDSTREAM_HOME, or rebuilt from Kafka; each room says its own.
Walk     app.py (wiring), then the room's own walk. Shared: publishing.py (roll-up rows onto costs), limit.py (mass
         rejection stops a partition), looking.py (when to look for what can be repaired),
         draining.py (an orderly stop).
"""
