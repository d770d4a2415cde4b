"""Budgets: how much a scope may spend per window, what is said when it does, and what callers may then still do.

    spent(budget, window) = sum of cost differences whose dimensions match the scope and whose minute lies in the window
    level reached           when spent >= level x amount

Owns the `Budget` document, counters and what follows from them. Does not own how cost rows become differences, where
snapshots are kept, or how alerts are delivered.
"""

from spendstream.domain.budgets.documents import parse_budget
from spendstream.domain.budgets.engine import BudgetEngine, Changes
from spendstream.domain.budgets.model import ACTIONS, DIMENSIONS, Budget, BurnSignal, Level
from spendstream.domain.budgets.scopes import scope_key

__all__ = [
    "ACTIONS",
    "DIMENSIONS",
    "Budget",
    "BudgetEngine",
    "BurnSignal",
    "Changes",
    "Level",
    "parse_budget",
    "scope_key",
]
