"""Owners for traced requests: teams, services, models and users by the weights of a world file, the same for a seed.

What a trace knows itself stays: the model and everything about the call where it names one (BurstGPT, ServeGen), what
came from the prompt cache where it names prefixes (Mooncake), and in any case id, time and total tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from loadgen.world import Assigner

Record = dict[str, Any]
CALL = (
    "provider", "model", "operation", "convention", "service_tier", "input_tokens", "output_tokens",
    "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "reasoning_tokens", "audio_input_tokens",
    "audio_output_tokens", "image_input_tokens", "requests", "latency_ms", "status", "cache_hit", "session_id",
    "max_tokens", "prompt_hash", "prefix_hash",
)  # fmt: skip
NAMES = ("user_id", "feature")


def assign(assigner: Assigner, records: Sequence[Record]) -> list[Record]:
    """Records with what the trace knows and everything else from the world."""
    columns = (np.array([record[name] for record in records], dtype=np.int64) for name in
               ("occurred_at", "input_tokens", "output_tokens"))  # fmt: skip
    owned = assigner.records(*columns)
    for record, traced in zip(owned, records, strict=True):
        record["event_id"] = traced["event_id"]
        if traced["model"]:
            record.update({name: traced[name] for name in CALL})
        elif traced["prefix_hash"] is not None:
            record.update(_cached(record["convention"], traced))
        record.update({name: traced[name] for name in NAMES if traced[name] is not None})
    return owned


def _cached(convention: str, traced: Record) -> Record:
    """The input of a request whose trace says what was cached, in the convention of the model the world chose."""
    cached = traced["cache_read_tokens"]
    return {
        "input_tokens": traced["input_tokens"] - (cached if convention == "disjoint" else 0),
        "cache_read_tokens": cached,
        "cache_write_5m_tokens": 0,
        "image_input_tokens": 0,
        "prefix_hash": traced["prefix_hash"],
    }
