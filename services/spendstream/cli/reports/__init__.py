"""The reports: each reads through `operations.reports` and prints a table, JSON, CSV or Parquet (`writing.py`)."""
