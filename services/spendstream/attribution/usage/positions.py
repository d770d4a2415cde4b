"""Positions of events in a range, as a plan carries them."""

import numpy as np
import numpy.typing as npt


def pack_positions(flags: npt.NDArray[np.bool_]) -> bytes:
    """Positions of the true flags as delta-coded unsigned varints."""
    out, before = bytearray(), -1
    for position in np.flatnonzero(flags).tolist():
        step = position - before - 1
        before = position
        while step >= 0x80:
            out.append(step & 0x7F | 0x80)
            step >>= 7
        out.append(step)
    return bytes(out)


def unpack_positions(packed: bytes, size: int) -> npt.NDArray[np.bool_]:
    """The inverse of `pack_positions` for `size` flags."""
    flags = np.zeros(size, dtype=bool)
    position, step, shift = -1, 0, 0
    for byte in packed:
        step |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            position += step + 1
            flags[position] = True
            step = shift = 0
    return flags
