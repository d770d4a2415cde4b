"""Pico-dollars as ClickHouse's `Decimal(38, 12)`, without a float or a conversion on the way."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

USD = pa.decimal128(38, 12)
Ints = npt.NDArray[np.int64]


def usd_array(pico: Ints, mask: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """`Decimal(38, 12)` dollars from int64 pico-dollars without a conversion: the pico count is the unscaled value."""
    words = np.empty((len(pico), 2), dtype=np.int64)
    words[:, 0] = pico
    words[:, 1] = pico >> 63
    valid = None
    if mask is not None:
        valid = pa.array(~mask).buffers()[1]
    return pa.Array.from_buffers(USD, len(pico), [valid, pa.py_buffer(words.tobytes())])
