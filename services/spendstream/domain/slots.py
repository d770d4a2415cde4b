"""Named series in numbered slots: arrays whose last axis is the slot, a cap, and an explicit overflow slot.

Slot numbers depend only on the order in which names are asked for, never on batches, so that whatever walks the slots
in order is deterministic.
"""

import base64
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
# (shape before the slot axis, dtype, value of an unused slot)
Layout = Mapping[str, tuple[tuple[int, ...], str, float]]

OTHER: Final = "(other)"
# Separates the dimension values of a key; cannot occur in a tag that a person typed.
JOIN: Final = "\x1f"
NEVER: Final = 2**62
_GROWTH: Final = 16


def pack(array: Array) -> dict[str, Any]:
    """An array as JSON."""
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 1)).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def unpack(packed: Mapping[str, Any]) -> Array:
    """The array `pack` wrote, writable."""
    raw = zlib.decompress(base64.b64decode(packed["data"]))
    return np.frombuffer(raw, dtype=packed["dtype"]).reshape(packed["shape"]).copy()


class Slots:
    """At most `cap` named slots plus the overflow slot `(other)`, each with one column in every array.

    Every layout has `born` and `seen` (minutes) added. Unused slots have `born = NEVER`.
    """

    def __init__(self, cap: int, layout: Layout) -> None:
        self.cap = cap
        self.layout = {**layout, "born": ((), "<i8", NEVER), "seen": ((), "<i8", 0)}
        self.keys: list[str] = []  # slot -> key; "" where free
        self.index: dict[str, int] = {}
        self.arrays: dict[str, Array] = {name: self._blank(name, 0) for name in self.layout}

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    @property
    def width(self) -> int:
        """Length of the slot axis, unused slots included."""
        return int(self.arrays["born"].shape[0])

    def slot(self, key: str, minute: int) -> int:
        """The slot of `key`, taken at `minute` if it is new; the overflow slot when all are taken."""
        known = self.index.get(key)
        if known is not None:
            return known
        if len(self.index) - (OTHER in self.index) >= self.cap and key != OTHER:
            return self.slot(OTHER, minute)
        slot = self._free()
        self.keys[slot] = key
        self.index[key] = slot
        self.arrays["born"][slot] = minute
        self.arrays["seen"][slot] = minute
        return slot

    def release_unseen(self, since: int, keep: frozenset[str] = frozenset()) -> None:
        """Free the slots last seen before minute `since`, except those in `keep`."""
        for key, slot in list(self.index.items()):
            if self.arrays["seen"][slot] < since and key not in keep:
                del self.index[key]
                self.keys[slot] = ""
                for name, (_, _, fill) in self.layout.items():
                    self.arrays[name][..., slot] = fill

    def snapshot(self) -> dict[str, Any]:
        return {"keys": self.keys, "arrays": {name: pack(array) for name, array in self.arrays.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.keys = list(state["keys"])
        self.index = {key: slot for slot, key in enumerate(self.keys) if key}
        self.arrays = {name: unpack(state["arrays"][name]) for name in self.layout}

    def _blank(self, name: str, width: int) -> Array:
        shape, dtype, fill = self.layout[name]
        return np.full((*shape, width), fill, dtype=dtype)

    def _free(self) -> int:
        for slot, key in enumerate(self.keys):
            if not key:
                return slot
        self.keys.append("")
        if len(self.keys) > self.width:
            grow = max(_GROWTH, self.width)
            for name, array in self.arrays.items():
                self.arrays[name] = np.concatenate([array, self._blank(name, grow)], axis=-1)
        return len(self.keys) - 1
