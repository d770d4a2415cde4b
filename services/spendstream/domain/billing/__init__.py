"""Bills: rows of a FOCUS file → invoice lines → rows of `billing_items`, and the bill against what the stream says.

Walk     cells.py (text to exact values) → focus.py (a file's columns to `BillingItem`) → identity.py (which line it is)
         → meaning.py (what it is for us: category, provider, model, owner) → ledger_row.py (a row of the table)
         → reconciliation.py (estimate against invoice) → tolerance.py (when somebody must look).
"""
