"""Histories of counted events, cut into batches, and what attribution would publish of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from spendstream.domain import rollups
from spendstream.domain.rollups import CALLER_DIMENSIONS, MINUTE_US, ON_TIME, OWNER_DIMENSIONS, SUMS, Rollups, lateness

ALLOWED_US = 3 * MINUTE_US
SMALL_BLOCK = 8
Row = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """One counted event. Members of a producer batch share their offset."""

    offset: int
    occurred_at: int
    team: str
    cost: int
    user_id: str = ""


def table(events: Sequence[Event], late: Iterable[bool]) -> pl.DataFrame:
    """The columns `Rollups.add` wants, as `settle` makes them."""
    texts = dict.fromkeys([*OWNER_DIMENSIONS, *CALLER_DIMENSIONS], "")
    rows = [
        {
            **texts, "org": "o", "team": event.team, "user_id": event.user_id, "offset": event.offset,
            "minute": event.occurred_at // MINUTE_US * MINUTE_US,
            "late_block": event.offset // rollups.LATE_BLOCK if is_late else ON_TIME,
            **dict.fromkeys(SUMS, 0), "events": 1, "cost_pico_usd": event.cost,
        }
        for event, is_late in zip(events, late, strict=True)
    ]  # fmt: skip
    numbers = ("offset", "minute", "late_block", *SUMS)
    schema = dict.fromkeys(texts, pl.String) | dict.fromkeys(numbers, pl.Int64)
    return pl.DataFrame(rows, schema=schema)


@dataclass
class Partition:
    """One source partition as attribution keeps it: watermark and open rows of both grains."""

    number: int = 0
    watermark: int = 0
    grains: tuple[Rollups, ...] = field(default_factory=lambda: (Rollups("owner"), Rollups("caller")))

    def batch(self, events: Sequence[Event]) -> list[Row]:
        """Add a batch; the `costs` rows it publishes, in order."""
        occurred = np.array([event.occurred_at for event in events], dtype=np.int64)
        late, self.watermark = lateness(occurred, self.watermark, ALLOWED_US)
        counted, last, found = table(events, late.tolist()), events[-1].offset, list[Row]()
        for grain in self.grains:
            mine = counted if grain.grain == "owner" else counted.filter(pl.col("user_id") != "")
            touched = grain.add(mine)
            columns = (touched.epochs.tolist(), touched.late.tolist(), touched.values.tolist())
            dimensions = touched.groups.select(*grain.dimensions, "minute").to_dicts()
            for names, epoch, is_late, values in zip(dimensions, *columns, strict=True):
                found.append(
                    {
                        **names, "grain": grain.grain, "incarnation": "i",
                        "source_partition": self.number, "epoch": epoch,
                        "last_offset": last, "late": is_late, **dict(zip(SUMS, values, strict=True)),
                    }
                )  # fmt: skip
            grain.close(self.watermark, ALLOWED_US, last + 1)
        return found

    def restarted(self) -> "Partition":
        """The same from its snapshots."""
        grains = tuple(Rollups(grain.grain) for grain in self.grains)
        for fresh, old in zip(grains, self.grains, strict=True):
            fresh.restore(old.snapshot())
        return Partition(self.number, self.watermark, grains)


def identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    dimensions = OWNER_DIMENSIONS if row["grain"] == "owner" else CALLER_DIMENSIONS
    position = (row["incarnation"], row["source_partition"], row["minute"], row["epoch"], row["late"])
    return (row["grain"], *position, *(row[name] for name in dimensions))


def cut(events: Sequence[Event], cuts: Iterable[int]) -> Iterator[list[Event]]:
    """Batches of whole records: members of one producer batch are never parted."""
    allowed = [0, *(i for i in range(1, len(events)) if events[i].offset != events[i - 1].offset), len(events)]
    places = sorted({0, len(events), *(max(at for at in allowed if at <= cut) for cut in cuts)})
    for start, end in pairwise(places):
        yield list(events[start:end])


@st.composite
def histories(draw: st.DrawFn, longest: int = 60) -> list[Event]:
    """Events whose clock drifts, jumps ahead by hours, and falls back; offsets with gaps and shared offsets."""
    offset, now, found = draw(st.integers(0, 20)), 1_000 * MINUTE_US, list[Event]()
    steps = st.tuples(
        st.sampled_from([0, 1, 1, 1, 1, 2, 9]),  # offset
        st.sampled_from([0, 0, 0, 0, 1, 1, 2, 5, 200]),  # minutes ahead
        st.sampled_from([0, 0, 0, 1, 2, 3, 4, 8, 300]),  # minutes late
        st.sampled_from(["a", "b"]),
        st.integers(0, 5),
        st.sampled_from(["", "", "u"]),
    )
    for ahead, minutes, behind, team, cost, user in draw(st.lists(steps, min_size=1, max_size=longest)):
        offset, now = offset + ahead, now + minutes * MINUTE_US
        occurred_at = max(0, now - behind * MINUTE_US + cost * 1_000_000)
        found.append(Event(offset, occurred_at, team, cost, user))
    return found


places = st.lists(st.integers(0, 60), max_size=8)
