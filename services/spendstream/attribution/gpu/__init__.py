"""GPU readings become cost per device, owner and interval.

State    none of its own: a reading is looked up in gpu_samples before it is written.
Walk     processor.py → book.py (prices, owners, sharing) → rows.py; repair.py (prices that came later), alerts.py.
"""
