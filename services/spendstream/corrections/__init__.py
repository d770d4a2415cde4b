"""Corrections of charges: what a price that is known now changes about what was rated before.

    correction = cost by the price book of now − cost as the charge stands

Shared by `spendstream reprice` (any charge of a period, when somebody asks) and by attribution's automatic repair (only
what lacks a price). Both publish to `corrections`; attribution alone takes them in (attribution/corrections/).

Reads    ClickHouse v_charges (charges as they stand); corrections and correction_positions: is everything taken in?
Writes   corrections.
State    none: a run may die at any point and be given again. A correction names the revision of the charge it makes;
         of two that make the same one the first counts.
Walk     charges.py (read) → rerate.py (rate, compare) → publish.py; standing.py.
"""
