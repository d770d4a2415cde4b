"""The economics toolkit of domain.md §8: pure functions, exact arithmetic, one rounding at the end."""
