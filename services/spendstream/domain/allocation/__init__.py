"""Who bears a cost: rules per cost category, sum-preserving shares, and versions of a month's allocation. Pure.

Formula  allocated + direct + idle + unallocated = source cost, per organisation, month, source and category, to the
         pico-dollar (domain.md §4).
Walk     rules.py (documents) → stretches.py (which are in force when) → sharing.py (who gets which share)
         → allocate.py (from source rows to placements) → versions.py (what a new version changes).
"""

from spendstream.domain.allocation.allocate import allocate
from spendstream.domain.allocation.model import Amounts, Days, Placement, SourceRow, Tags
from spendstream.domain.allocation.rules import Rule, parse_rule
from spendstream.domain.allocation.versions import Move, as_shown, difference, digest, moves

__all__ = [
    "Amounts", "Days", "Move", "Placement", "Rule", "SourceRow", "Tags",
    "allocate", "as_shown", "difference", "digest", "moves", "parse_rule",
]  # fmt: skip
