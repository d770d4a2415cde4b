"""Budgets: spend per scope and window against what was allowed; alerts and enforcement within seconds.

Reads    costs (owner rows), control (Budget), and its own alerts and enforcement after a restart.
Writes   alerts (kind budget), enforcement; ClickHouse budget_status, alerts.
State    counters and published levels per partition of costs (`cost_stream/`), rebuilt from costs when lost.
Walk     app.py → cost_stream/processor.py → engine.py → domain/budgets/engine.py.
"""
