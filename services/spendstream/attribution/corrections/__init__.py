"""Corrections of charges: found in repair.py when a price comes late, or by `spendstream reprice`; taken in here.

State    per partition of `corrections`: revisions that counted, and sums of the running block.
Walk     repair.py (what lacks a price is rated again) → processor.py (what counts, into costs and ledger) → state.py.
"""
