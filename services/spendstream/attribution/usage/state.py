"""What attribution holds of one usage partition, and how it survives a restart.

Two kinds of files under SPENDSTREAM_HOME/attribution/<partition>: `state.json` with `owner-<offset>.arrow` and
`caller-<offset>.arrow` (open minutes as of an offset, replaced every few seconds) and `ids-*/*.log` (identities of
counted events, appended once a batch). Both only save time: what they lack is replayed from Kafka along the plan log.
"""

import json
import os
import secrets
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import structlog

from spendstream.domain.attribution.dedup import DedupIndex
from spendstream.domain.rollups import Rollups
from spendstream.runtime.kafka.plan_log import Plan
from spendstream.runtime.kafka.transport import Record

log = structlog.get_logger()
FRAME = struct.Struct("<qqqII")
SEGMENT_BYTES = 64 * 1024 * 1024
NOTHING = -1


@dataclass
class Redo:
    """A planned range to go through again, and what of it is still missing."""

    plan: Plan
    rows: bool
    ids: bool
    publish: bool


@dataclass
class PartitionState:
    """State of one partition behind `applied`, the last offset of the last settled range."""

    partition: int
    incarnation: str
    dedup: DedupIndex
    applied: int = NOTHING
    plan_at: int = 0
    watermark: int = 0
    owner: Rollups = field(default_factory=lambda: Rollups("owner"))
    caller: Rollups = field(default_factory=lambda: Rollups("caller"))
    redo: deque[Redo] = field(default_factory=deque)
    #: Last offset that was handed in; what is not yet applied of it waits in `buffer`.
    read: int = NOTHING
    buffer: list[Record] = field(default_factory=list)

    @property
    def rebuild_from(self) -> int:
        """Smallest usage offset from which the open rows can be rebuilt."""
        epochs = [e for e in (self.owner.oldest_epoch, self.caller.oldest_epoch) if e is not None]
        return min([self.applied + 1, *epochs])


class Snapshots:
    """The two files of one partition."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, state: PartitionState) -> None:
        """Replace the snapshot of the open minutes (atomic: `state.json` names the complete files)."""
        # Never a name that is in use: the files `state.json` names stay whole until it names others.
        names = {grain: f"{grain}-{state.applied}-{secrets.token_hex(4)}.arrow" for grain in ("owner", "caller")}
        for grain, rollups in (("owner", state.owner), ("caller", state.caller)):
            rollups.snapshot().write_ipc(self._folder / names[grain], compression="lz4")
        head = {
            "incarnation": state.incarnation,
            "applied": state.applied,
            "plan_at": state.plan_at,
            "watermark": state.watermark,
            "files": names,
        }
        fresh = self._folder / "state.json.new"
        fresh.write_text(json.dumps(head))
        fresh.replace(self._folder / "state.json")
        for path in self._folder.glob("*.arrow"):
            if path.name not in names.values():
                path.unlink(missing_ok=True)

    def plan_at(self) -> int:
        """Where the plan log stood; 0 without a snapshot."""
        try:
            return max(0, int(json.loads((self._folder / "state.json").read_text())["plan_at"]))
        except Exception:  # whatever is wrong with the file, the plan log has it all
            return 0

    def load(self, state: PartitionState, next_first: int) -> bool:
        """Fill in the open minutes; False without a readable snapshot of this incarnation below `next_first`."""
        owner, caller = Rollups("owner"), Rollups("caller")
        try:
            head: dict[str, Any] = json.loads((self._folder / "state.json").read_text())
            applied, plan_at, watermark = (int(head[name]) for name in ("applied", "plan_at", "watermark"))
            if head["incarnation"] != state.incarnation or applied >= next_first:
                return False
            for grain, rollups in (("owner", owner), ("caller", caller)):
                rollups.restore(pl.read_ipc(self._folder / head["files"][grain]))
        except Exception:  # whatever is wrong with the files, Kafka has it all
            return False
        state.owner, state.caller = owner, caller
        state.applied, state.plan_at, state.watermark = applied, plan_at, watermark
        return True


class IdLog:
    """Append-only log of the identities a partition has counted, a frame a range, torn tails recognised by checksum."""

    def __init__(self, folder: Path, hasher: str, incarnation: str) -> None:
        # A log written with another hash function or for another topic says nothing: it lives under another name.
        self._folder = folder / f"ids-{hasher}-{incarnation}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def append(
        self, first: int, last: int, appended_ms: int, ids: npt.NDArray[np.uint64], content: npt.NDArray[np.uint32]
    ) -> None:
        """Add the ids of the range `[first, last]`."""
        body = ids.astype("<u8").tobytes() + content.astype("<u4").tobytes()
        frame = FRAME.pack(first, last, appended_ms, ids.size, _checksum(first, last, appended_ms, body)) + body
        segments = self._segments()
        path = segments[-1] if segments else self._folder / f"{first:020d}.log"
        if segments and path.stat().st_size > SEGMENT_BYTES:
            path = self._folder / f"{first:020d}.log"
        with path.open("ab") as out:
            out.write(frame)

    def load(self, dedup: DedupIndex, since_ms: int) -> int:
        """Fill the index with what is younger than `since_ms`; returns the last offset the log covers without a gap.

        Segments that are wholly older are deleted; a torn tail is cut off so that later frames follow a whole one.
        """
        covered: int | None = None
        for path in self._segments():
            newest = 0
            for first, last, appended_ms, ids, content in _frames(path):
                if covered is not None and first != covered + 1:
                    log.warning("id log has a gap: ids are rebuilt from usage", after=covered, next=first)
                    self.forget_all()
                    dedup.clear()
                    return NOTHING
                covered, newest = last, max(newest, appended_ms)
                if appended_ms >= since_ms:
                    dedup.remember(ids, content, appended_ms)
            if newest < since_ms and path != self._segments()[-1]:
                path.unlink()
        return NOTHING if covered is None else covered

    def forget_all(self) -> None:
        """Start over: what is here does not join the log any more."""
        for path in self._segments():
            path.unlink()

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("*.log"))


def _checksum(first: int, last: int, appended_ms: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("<qqq", first, last, appended_ms)))


def _frames(path: Path) -> Iterator[tuple[int, int, int, npt.NDArray[np.uint64], npt.NDArray[np.uint32]]]:
    data = path.read_bytes()
    at = 0
    while at + FRAME.size <= len(data):
        first, last, appended_ms, count, checksum = FRAME.unpack_from(data, at)
        body = data[at + FRAME.size : at + FRAME.size + 12 * count]
        if len(body) < 12 * count or _checksum(first, last, appended_ms, body) != checksum:
            break
        ids = np.frombuffer(body, dtype="<u8", count=count).astype(np.uint64)
        yield first, last, appended_ms, ids, np.frombuffer(body, dtype="<u4", offset=8 * count).astype(np.uint32)
        at += FRAME.size + 12 * count
    if at < len(data):
        os.truncate(path, at)
