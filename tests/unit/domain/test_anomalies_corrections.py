"""Corrections move money of the past; they do not move time, whatever partition of their own topic they come from."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.anomalies.watermark import MICROS, NO_TIME, Lateness, Watermark

steps = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from([0, 1, NO_TIME]), st.integers(0, 40)), min_size=1, max_size=30
)


def closes(found: list[tuple[int, int, int]], whole: bool) -> tuple[list[int], Watermark]:
    """Minute in which each record closes; `whole`: all at once, else one by one. Time goes by the seconds between."""
    watermark, now, result = Watermark(Lateness(), 2), 10**15, list[int]()
    groups = [found] if whole else [[each] for each in found]
    for group in groups:
        if not whole:
            now += group[0][2] * MICROS
        minutes, partitions = (np.array(column, dtype=np.int64) for column in list(zip(*group, strict=True))[:2])
        result += watermark.assign(minutes, partitions, now).tolist()
    return result, watermark


@given(steps)
def test_usage_closes_when_it_would_without_corrections(found: list[tuple[int, int, int]]) -> None:
    usage = [(minute, partition, 0) for minute, partition, _ in found if partition != NO_TIME]
    together, watermark = closes([(minute, partition, 0) for minute, partition, _ in found], whole=True)
    alone, without = closes(usage, whole=True) if usage else ([], Watermark(Lateness(), 2))
    assert [close for close, each in zip(together, found, strict=True) if each[1] != NO_TIME] == alone
    assert watermark.snapshot() == without.snapshot()


@given(steps)
def test_a_correction_closes_in_its_minute_or_the_first_that_is_open(found: list[tuple[int, int, int]]) -> None:
    result, watermark = closes(found, whole=False)
    assert all(close >= minute for close, (minute, _, _) in zip(result, found, strict=True))
    assert watermark.first_open <= max((minute for minute, partition, _ in found if partition != NO_TIME), default=0)
