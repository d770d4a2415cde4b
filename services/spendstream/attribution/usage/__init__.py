"""Usage events become charges and roll-ups, each exactly once.

State    per partition: ids seen, open minutes, watermark.
Walk     processor.py (first cursor: plan, publish) → batch.py (decode, rate, settle) → rows.py (what is written)
         → ledger.py (second cursor: charges) → cards.py (what the prices of those charges say);
         after a restart loading.py → state.py, recovery.py.
"""
