"""Owners for traced requests: teams, services, models and users by the weights of a world file, the same for a seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from loadgen.world import Assigner

Record = dict[str, Any]


def assign(assigner: Assigner, records: Sequence[Record]) -> list[Record]:
    """Records with the trace's id, time and total tokens and everything else from the world."""
    columns = (np.array([record[name] for record in records], dtype=np.int64) for name in
               ("occurred_at", "input_tokens", "output_tokens"))  # fmt: skip
    owned = assigner.records(*columns)
    for record, traced in zip(owned, records, strict=True):
        record["event_id"] = traced["event_id"]
    return owned
