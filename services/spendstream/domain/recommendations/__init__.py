"""What would make it cheaper? Proposals from running profiles, each with its arithmetic and a query that proves it.

cost deltas → `profiles`, usage → `prompts` → `recommenders` (profile → proposal) → one record per proposal, revised
only when it changes by more than a tenth. Savings that overlap are combined by `sequence`.
State: everything `RecommendationEngine.snapshot()` returns.
"""

from spendstream.domain.recommendations.engine import RecommendationEngine

__all__ = ["RecommendationEngine"]
