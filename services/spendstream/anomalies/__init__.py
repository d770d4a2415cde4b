"""Anomalies: what is not normal, since when, why, and how much money is at stake.

Reads    costs (owner and caller rows), control (Policy), and its own alerts after a restart.
Writes   alerts (kinds anomaly and governance); ClickHouse anomalies, alerts.
State    baselines and running incidents per partition of costs (`cost_stream/`), rebuilt from costs when lost.
Walk     app.py → cost_stream/processor.py → engine.py → domain/anomalies/engine.py.
"""
