"""Recommendations: what would make it cheaper, with the arithmetic and a query that proves it.

Reads    costs (owner rows), usage (prompt fingerprints; no text ever travels), control (Price), and its own output.
Writes   recommendations; ClickHouse recommendations.
State    profiles of all partitions this worker owns, one snapshot that names every offset it includes. Profiles of one
         service need all partitions: run one instance (mergeable profiles come with a later part).
Walk     app.py → processor.py → domain/recommendations/engine.py.
"""
