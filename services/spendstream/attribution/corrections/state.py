"""What attribution holds of one partition of `corrections`, and how it survives a restart.

State is a function of the log alone: which revisions counted, and the sums of the running block. The files under
SPENDSTREAM_HOME/attribution-corrections/<partition> only save the way from the start of the log.

A block is a day of broker time within `LATE_BLOCK` positions. Roll-up rows of corrections never outlive their block, so
nothing older than a day is needed to carry on, however long ago the log was begun. A correction so large that a block
of its like would not add up in 64 bits has a row of its own.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from spendstream.domain.corrections import POSITIONS, CorrectionSums, Revisions
from spendstream.domain.rollups import LATE_BLOCK
from spendstream.runtime.kafka.transport import Record

DAY_MS: Final = 86_400_000
NOTHING: Final = -1
#: Places of the position's block in the number of a block: enough for 2^34 records and a thousand years of days.
BLOCK_BITS: Final = 28
PARTS: Final = 1 << 17
LARGE: Final = 2**62 // LATE_BLOCK

Ints = npt.NDArray[np.int64]


@dataclass
class CorrectionState:
    """State behind `applied`, the last correction taken in.

    `generation` counts the topics of this name that were seen. Where the log had lost its beginning when it was read
    from its start: `lost_until` is its end by then, `torn` the first block that was still there.
    """

    incarnation: str = ""
    generation: int = 0
    applied: int = NOTHING
    clock_ms: int = 0
    lost_until: int = 0
    torn: int = NOTHING
    revisions: Revisions = field(default_factory=Revisions)
    owner: CorrectionSums = field(default_factory=lambda: CorrectionSums("owner"))
    caller: CorrectionSums = field(default_factory=lambda: CorrectionSums("caller"))

    def blocks(self, offsets: Ints, appended_ms: Ints) -> Ints:
        """The block of each of the next records; moves the clock on."""
        if not offsets.size:
            return offsets
        clock = np.maximum.accumulate(np.maximum(appended_ms, self.clock_ms))
        self.clock_ms = int(clock[-1])
        numbers: Ints = (clock // DAY_MS << BLOCK_BITS) + block_of(offsets)
        return numbers


def block_of(offset: Any) -> Any:
    """Which block of positions the corrections of a record are in."""
    return offset * POSITIONS // LATE_BLOCK


def rows_of_blocks(blocks: pl.Expr, position: pl.Expr, amount: pl.Expr) -> pl.Expr:
    """The part of its block that a correction is summed up in: the common one, or its own where it is large."""
    own = pl.when((amount >= LARGE) | (amount <= -LARGE)).then(position % LATE_BLOCK + 1).otherwise(0)
    return blocks * PARTS + own


def by_block(records: Sequence[Record]) -> list[list[Record]]:
    """Consecutive records, cut where a block of positions ends.

    No batch crosses such an end: who reads `costs` takes a block for complete once the log is behind it.
    """
    return [list(block) for _, block in groupby(records, key=lambda record: block_of(record.offset))]


class CorrectionFiles:
    """The snapshot of one partition: tables beside a head that names them, replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, state: CorrectionState) -> None:
        """Replace the snapshot."""
        mark = f"{state.applied}-{secrets.token_hex(4)}"
        tables = {name: f"{name}-{mark}.arrow" for name, _ in _parts(state)}
        for name, part in _parts(state):
            part.snapshot().write_ipc(self._folder / tables[name], compression="lz4")
        head = {
            "incarnation": state.incarnation, "generation": state.generation, "applied": state.applied,
            "clock_ms": state.clock_ms, "lost_until": state.lost_until, "torn": state.torn, "tables": tables,
        }  # fmt: skip
        fresh = self._folder / "state.json.new"
        fresh.write_text(json.dumps(head))
        fresh.replace(self._folder / "state.json")
        for path in self._folder.glob("*.arrow"):
            if path.name not in tables.values():
                path.unlink(missing_ok=True)

    def load(self) -> CorrectionState | None:
        """The snapshot; None when there is none that can be read."""
        try:
            head: dict[str, Any] = json.loads((self._folder / "state.json").read_text())
            state = CorrectionState(
                str(head["incarnation"]), int(head["generation"]), int(head["applied"]), int(head["clock_ms"]),
                int(head["lost_until"]), int(head["torn"]),
            )  # fmt: skip
            for name, part in _parts(state):
                part.restore(pl.read_ipc(self._folder / head["tables"][name]))
        except Exception:  # whatever is wrong with the files, the topic has it all
            return None
        return state


def _parts(state: CorrectionState) -> Sequence[tuple[str, Any]]:
    return (("revisions", state.revisions), ("owner", state.owner), ("caller", state.caller))
