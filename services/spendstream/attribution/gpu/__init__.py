"""GPU readings become cost per device, owner and interval.

State    none of its own: a reading, or a revision of its cost, is looked up in the tables before it is written.
Walk     processor.py → rows.py (readings); repair.py (finds what has a price by now) → corrections.py (takes it in);
         alerts.py (models without a price). Prices, owners and sharing are compiled in gpu_books.py.
"""
