"""Corrections: what a price known later changes about charges, and which of two corrections of a charge counts."""

from spendstream.domain.corrections.diff import differences, improvements
from spendstream.domain.corrections.revisions import Revisions
from spendstream.domain.corrections.summary import Group, Summary

__all__ = ["Group", "Revisions", "Summary", "differences", "improvements"]
