"""Spend per time slot and combination of dimensions, compact and exact: what budgets are counted from.

One block per slot: sorted combination numbers (int32) beside pico-dollars (int64), 12 bytes an entry and about 300
bytes a block. Sums over slots leave int64 and are exact Python integers.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Combos = npt.NDArray[np.int32]
Block = tuple[Combos, Ints]

_LOW_BITS: Final = 32
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
_HALF: Final = 2**62  # two magnitudes below this add inside int64


@dataclass(slots=True)
class Cube:
    """Slots of `slot` microseconds, kept for as long as the owner does not `prune` them."""

    slot: int
    _blocks: dict[int, Block] = field(default_factory=dict)

    def add(self, instants: Ints, combos: Ints, pico_usd: Ints) -> None:
        """Add row for row: event times (microseconds), combination numbers, amounts (may be negative).

        Raises OverflowError when one combination spends 4.6 million dollars in one slot: sums stay exact or stop.
        """
        slots = instants // self.slot
        for slot in np.unique(slots).tolist():
            rows = slots == slot
            known_combos, known_pico = self._blocks.get(slot, (combos[:0], pico_usd[:0]))
            self._blocks[slot] = _merge(
                np.concatenate([known_combos, combos[rows]]), np.concatenate([known_pico, pico_usd[rows]])
            )

    def totals(self, start: int, end: int) -> dict[int, int]:
        """Exact pico-dollars per combination from `start` to before `end`, both on slot bounds."""
        blocks = [block for slot, block in self._blocks.items() if start <= slot * self.slot < end]
        if not blocks:
            return {}
        combos = np.concatenate([block[0] for block in blocks])
        pico = np.concatenate([block[1] for block in blocks])
        numbers, place = np.unique(combos, return_inverse=True)
        high, low = np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.int64)
        np.add.at(high, place, pico >> _LOW_BITS)
        np.add.at(low, place, pico & _LOW_MASK)
        sums = ((upper << _LOW_BITS) + lower for upper, lower in zip(high.tolist(), low.tolist(), strict=True))
        return dict(zip(numbers.tolist(), sums, strict=True))

    def prune(self, before: int) -> None:
        """Drop every slot that ended by `before`."""
        for slot in [slot for slot in self._blocks if (slot + 1) * self.slot <= before]:
            del self._blocks[slot]

    def combos(self) -> Ints:
        """Every combination number in use, ascending."""
        if not self._blocks:
            return np.zeros(0, np.int64)
        return np.unique(np.concatenate([block[0] for block in self._blocks.values()])).astype(np.int64)

    def renumber(self, used: Ints) -> None:
        """Replace each combination number by its place in the ascending `used`, which must hold them all."""
        for slot, (combos, pico) in self._blocks.items():
            self._blocks[slot] = (np.searchsorted(used, combos).astype(np.int32), pico)

    @property
    def entries(self) -> int:
        return sum(len(block[0]) for block in self._blocks.values())

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays alone."""
        return sum(combos.nbytes + pico.nbytes for combos, pico in self._blocks.values())

    def snapshot(self) -> dict[str, Any]:
        """A plain structure JSON can carry; arrays as base64 of little-endian integers."""
        blocks = list(self._blocks.values())
        return {
            "slot": self.slot,
            "slots": list(self._blocks),
            "sizes": [len(combos) for combos, _ in blocks],
            "combos": _pack([combos for combos, _ in blocks], "<i4"),
            "pico_usd": _pack([pico for _, pico in blocks], "<i8"),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Cube":
        """The cube that `snapshot` described."""
        bounds = np.cumsum(state["sizes"], dtype=np.int64)[:-1]
        combos = np.split(_unpack(state["combos"], "<i4"), bounds)
        pico = np.split(_unpack(state["pico_usd"], "<i8"), bounds)
        blocks = zip(state["slots"], combos, pico, strict=False)
        return cls(state["slot"], {slot: (c.astype(np.int32), p.astype(np.int64)) for slot, c, p in blocks})


def _merge(combos: npt.NDArray[Any], pico: Ints) -> Block:
    numbers, place = np.unique(combos, return_inverse=True)
    sums = np.zeros(len(numbers), np.int64)
    np.add.at(sums, place, pico)
    # The float sum of magnitudes only guards the integers: far below the bound it needs no exactness.
    if np.bincount(place, np.abs(pico.astype(np.float64))).max() >= _HALF:
        raise OverflowError("one combination of dimensions spends more in one slot than int64 pico-dollars can hold")
    return numbers.astype(np.int32), sums


def _pack(arrays: list[npt.NDArray[Any]], dtype: str) -> str:
    joined = np.concatenate(arrays) if arrays else np.zeros(0, dtype)
    return base64.b64encode(joined.astype(dtype).tobytes()).decode()


def _unpack(text: str, dtype: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype)
