"""What a period cost: breakdowns, trends, chargeback statements, unit economics, GPUs, the FOCUS export.

Reads    ClickHouse v_cost, v_chargeback_month, v_focus, charges, v_gpu_efficiency, v_gpu_gaps.
Writes   nothing.
State    none.
Walk     selection.py (period and filters as SQL) → breakdown.py, chargeback.py, unit_economics.py, focus.py, gpu.py.
"""
