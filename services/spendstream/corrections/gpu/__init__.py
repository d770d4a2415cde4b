"""Corrections of GPU readings: what a price that is known now changes about what was rated before.

    cost after = price per hour now × interval of the reading, shared by the weights it was first given

Shared by `spendstream reprice` (any reading of a period, when somebody asks) and by attribution's automatic repair
(only what lacks a price). Both publish to `gpu-corrections`; attribution alone takes them in
(attribution/gpu/corrections.py).

Reads    ClickHouse gpu_costs: readings as they stand.
Writes   gpu-corrections.
State    none: a run may die at any point and be given again. A correction names the revision it makes; of two that make
         the same one the first counts.
Walk     readings.py (read) → domain/gpu/reprice.py (rate, compare) → publish.py; reprice.py (a whole period).
"""
