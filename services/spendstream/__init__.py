"""Spendstream: who is spending on AI, is it allowed, is it normal, and what would make it cheaper."""
