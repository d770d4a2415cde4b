"""What a period cost: breakdowns, trends, chargeback statements, unit economics, the FOCUS export.

Reads    ClickHouse v_cost, v_chargeback_month, v_focus, charges.
Writes   nothing.
State    none.
Walk     selection.py (period and filters as SQL) → breakdown.py, chargeback.py, unit_economics.py, focus.py.
"""
