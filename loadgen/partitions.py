"""Which partition an event id belongs to: Kafka's default partitioner (murmur2), over many ids at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

M = np.uint32(0x5BD1E995)
SEED = 0x9747B28C


def partitions_of(ids: Sequence[bytes], count: int) -> NDArray[np.int64]:
    """Partition of each id among `count`; shape (len(ids),)."""
    lengths = np.fromiter((len(i) for i in ids), dtype=np.int64, count=len(ids))
    found = np.zeros(len(ids), dtype=np.int64)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        joined = b"".join(ids[row] for row in rows.tolist())
        matrix = np.frombuffer(joined, dtype=np.uint8).reshape(len(rows), int(length))
        found[rows] = (_murmur2(matrix) & np.uint32(0x7FFFFFFF)).astype(np.int64) % count
    return found


def _murmur2(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Kafka's murmur2 of equally long keys, one a row; arithmetic wraps at 32 bits as it must."""
    n, length = rows.shape
    h = np.full(n, np.uint32(SEED ^ length), dtype=np.uint32)
    whole = length // 4
    words = np.ascontiguousarray(rows[:, : whole * 4]).view("<u4")
    for column in range(whole):
        k = words[:, column] * M
        k ^= k >> np.uint32(24)
        h = (h * M) ^ (k * M)
    tail = rows[:, whole * 4 :].astype(np.uint32)
    for place in range(tail.shape[1]):
        h ^= tail[:, place] << np.uint32(8 * place)
    if tail.shape[1]:
        h *= M
    h ^= h >> np.uint32(13)
    h *= M
    h ^= h >> np.uint32(15)
    return h
