"""What each series (team × service × model) did in the last hour, and what a request of it normally is.

The table is advanced by one minute at a time for all series of an organisation together; money and counts are
integers. Detectors read it; root causes are explained from it.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from spendstream.domain.anomalies.columns import FEATURES, REQUESTS, Ints
from spendstream.domain.slots import JOIN, Layout, Slots

RING: Final = 60
SPANS: Final = (3, 5, 30, 60)
STEP: Final = 5  # minutes between two learning steps
# The normal request is an average that forgets half of its weight in this many steps with traffic (a day).
_HALF_LIFE_STEPS: Final = 288
_KEEP: Final = 0.5 ** (1 / _HALF_LIFE_STEPS)

Floats = npt.NDArray[np.float64]


class SeriesTable:
    """`ring` [60, feature, series]: the last hour, a minute each; `sums` [span, feature, series] over SPANS;
    `normal` [feature, series]: decayed sums of ordinary minutes. `extra`: arrays a detector keeps per series."""

    dimensions: Final = ("team", "service", "model")

    def __init__(self, cap: int, extra: Layout) -> None:
        features = len(FEATURES)
        self.slots = Slots(
            cap,
            {
                "ring": ((RING, features), "<i8", 0),
                "sums": ((len(SPANS), features), "<i8", 0),
                "normal": ((features,), "<f8", 0),
                **extra,
            },
        )

    def advance(self, minute: int, values: Ints) -> None:
        """Take in one closed minute; `values` [feature, series]."""
        ring, sums = self.slots["ring"], self.slots["sums"]
        sums += values - ring[[(minute - span) % RING for span in SPANS]]
        ring[minute % RING] = values
        self.slots["seen"][values[REQUESTS] != 0] = minute

    def learn(self, ordinary: npt.NDArray[np.bool_]) -> None:
        """Every STEP minutes: the last STEP minutes of the `ordinary` series become part of their normal request."""
        step = self.slots["sums"][SPANS.index(STEP)]
        active = ordinary & (step[REQUESTS] > 0)
        normal = self.slots["normal"]
        normal[:, active] = normal[:, active] * _KEEP + step[:, active]

    def renew(self, slot: int) -> None:
        """Take the last hour of a series as its normal request."""
        self.slots["normal"][:, slot] = self.slots["sums"][SPANS.index(60), :, slot]

    def scope(self, slot: int) -> dict[str, str]:
        """Dimension values of a series."""
        values = self.slots.keys[slot].split(JOIN)
        return dict(zip(self.dimensions, values * (3 if len(values) == 1 else 1), strict=True))

    def last(self, minute: int, slot: int, length: int) -> Ints:
        """[length, feature]: the `length` (at most RING) minutes up to `minute`, oldest first."""
        at = [(minute - back) % RING for back in range(length - 1, -1, -1)]
        return np.asarray(self.slots["ring"][at, :, slot])

    def snapshot(self) -> dict[str, Any]:
        return self.slots.snapshot()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.slots.restore(state)
