"""Invoice lines into their table, and the alert when an invoice and the stream's estimate drift apart.

Walk     processor.py (billing → billing_items); reconciliation.py (v_reconciliation → alerts).
"""
