"""Corrections: what a price known later changes about charges, which of two corrections counts, and their sums."""

from spendstream.domain.corrections.diff import differences, improvements
from spendstream.domain.corrections.revisions import Revisions
from spendstream.domain.corrections.summary import Group, Summary
from spendstream.domain.corrections.sums import POSITIONS, CorrectionSums

__all__ = ["POSITIONS", "CorrectionSums", "Group", "Revisions", "Summary", "differences", "improvements"]
