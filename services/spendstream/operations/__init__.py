"""What operators do to a running installation: import files, replay dead letters, reprice, ask how everything is.

Reads    usage, control, service-heartbeats, alerts; ClickHouse ledger_ranges, charges, cost_by_minute, dead_letters.
Writes   usage, corrections; ClickHouse imports and dead_letter_replays: what was done once and for ever.
State    none: a command may die at any point and be given again.
Walk     usage_import.py → import_source.py, import_ledger.py, arrival.py; dead_letters.py; reprice.py → corrections/;
         doctor.py → checks.py.
"""
