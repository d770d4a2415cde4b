"""Compiled prices: the segments of many models flattened into arrays that a batch of rows indexes."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from spendstream.domain.prices.model import CLASSES
from spendstream.domain.prices.timeline import Segment

Ints = npt.NDArray[np.int64]

NEVER: Final = np.iinfo(np.int64).max  # a threshold no request exceeds
SAFE: Final = 2**62  # a sum that is below this in floating point is below 2^63 in truth


@dataclass(frozen=True, slots=True)
class RateTable:
    """Lanes (a model for one tier and region) of segments of time, of rate rows (base price, then context tiers).

    Arrays named `segment_*` have one entry a segment, ordered by lane and time; `row_*` one entry a rate row.
    """

    lanes: int
    bounds: Ints  # every moment at which any lane changes, ascending
    segment_key: Ints  # lane × (len(bounds) + 1) + slot of its start
    segment_reason: npt.NDArray[np.int8]
    segment_price: npt.NDArray[np.int32]  # index into price_ids
    segment_row: Ints  # its base rate row
    segment_above: tuple[Ints, ...]  # k-th context threshold of each segment, NEVER where it has fewer
    segment_fee: Ints  # pico per request
    segment_factor: tuple[Fraction, ...]
    segment_numerator: Ints
    segment_denominator: Ints
    segment_wide: npt.NDArray[np.bool_]  # its factor does not fit 64-bit arithmetic
    segment_scale: npt.NDArray[np.float64]  # the factor, roughly: to see what may overflow
    scales: bool  # whether any factor differs from 1
    row_pico: tuple[Ints, ...]  # by class: pico per token, 0 where there is no price
    row_missing: npt.NDArray[np.uint16]  # bit i: class i has no price
    price_ids: tuple[str, ...]

    def segments_at(self, lane: Ints, moment: Ints) -> Ints:
        """The segment of each row's lane in force at its moment."""
        if len(lane) == 0:
            return lane
        width = len(self.bounds) + 1
        slot = np.searchsorted(self.bounds, moment, side="right")
        first = int(slot.min())
        spread = int(slot.max()) - first + 1
        if self.lanes * spread > len(lane):
            return self._search(lane * width + slot)
        # A batch spans little time: look each (lane, slot) up once, not each row.
        grid = np.arange(self.lanes)[:, None] * width + np.arange(first, first + spread)
        found = self._search(grid.ravel())
        cell = lane if spread == 1 else lane * spread + (slot - first)
        return found[cell]

    def _search(self, key: Ints) -> Ints:
        return np.searchsorted(self.segment_key, key, side="right") - 1


def compile_lanes(lanes: Sequence[Sequence[Segment]]) -> RateTable:
    """The table of `lanes`; the segments of each cover all time, in order (timeline.segments)."""
    flat = [segment for lane in lanes for segment in lane]
    lane_of = np.repeat(np.arange(len(lanes)), [len(lane) for lane in lanes])
    starts = np.array([segment.start for segment in flat], np.int64)
    bounds = np.unique(starts)
    slot = np.searchsorted(bounds, starts, side="right")
    blocks = [segment.rates.rows() if segment.rates else [(0,) * len(CLASSES)] for segment in flat]
    rows = [row for block in blocks for row in block]
    ids = {"": 0}
    factor = [segment.factor for segment in flat]
    wide = [f.numerator * f.denominator >= SAFE for f in factor]
    return RateTable(
        lanes=len(lanes),
        bounds=bounds,
        segment_key=lane_of * (len(bounds) + 1) + slot,
        segment_reason=np.array([segment.reason for segment in flat], np.int8),
        segment_price=np.array([ids.setdefault(segment.price_id, len(ids)) for segment in flat], np.int32),
        segment_row=np.array(list(accumulate((len(block) for block in blocks), initial=0))[:-1], np.int64),
        segment_above=_thresholds(flat),
        segment_fee=np.array([s.rates.pico_per_request if s.rates else 0 for s in flat], np.int64),
        segment_factor=tuple(factor),
        segment_numerator=_ints(1 if w else f.numerator for f, w in zip(factor, wide, strict=True)),
        segment_denominator=_ints(1 if w else f.denominator for f, w in zip(factor, wide, strict=True)),
        segment_wide=np.array(wide, bool),
        segment_scale=np.array([float(f) for f in factor]),
        scales=any(f != 1 for f in factor),
        row_pico=tuple(_ints(row[i] or 0 for row in rows) for i in range(len(CLASSES))),
        row_missing=np.array([sum(1 << i for i, pico in enumerate(row) if pico is None) for row in rows], np.uint16),
        price_ids=tuple(ids),
    )


def _thresholds(flat: Sequence[Segment]) -> tuple[Ints, ...]:
    tiers = [segment.rates.context_tiers if segment.rates else () for segment in flat]
    depth = max((len(t) for t in tiers), default=0)
    return tuple(_ints(t[k].above_input_tokens if k < len(t) else NEVER for t in tiers) for k in range(depth))


def _ints(values: object) -> Ints:
    return np.array(list(values), np.int64)  # type: ignore[call-overload]
