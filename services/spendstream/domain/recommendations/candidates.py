"""Downgrade candidates: which cheaper model is worth trying for short, simple traffic of a premium one. Data, not code.

A candidate is a proposal to test, not a claim of equal quality; `risk` says how far down it goes.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Candidate:
    """One step down from `provider`/`model`."""

    provider: str
    model: str
    to_provider: str
    to_model: str
    risk: Literal["low", "medium", "high"]


DOWNGRADES: Final = (
    Candidate("openai", "gpt-5.5", "openai", "gpt-5.4", "low"),
    Candidate("openai", "gpt-5.5", "anthropic", "claude-haiku-4.5", "medium"),
    Candidate("openai", "gpt-5.4", "anthropic", "claude-haiku-4.5", "medium"),
    Candidate("anthropic", "claude-opus-4.8", "anthropic", "claude-sonnet-4.6", "low"),
    Candidate("anthropic", "claude-opus-4.8", "anthropic", "claude-haiku-4.5", "medium"),
    Candidate("anthropic", "claude-sonnet-4.6", "anthropic", "claude-haiku-4.5", "medium"),
)
