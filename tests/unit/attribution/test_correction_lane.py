"""Corrections to `costs`: what counts adds up, wherever batches are cut and however often a worker begins again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spendstream.attribution.corrections import processor
from spendstream.attribution.corrections import state as correction_state
from spendstream.attribution.corrections.processor import take_in
from spendstream.attribution.corrections.state import CorrectionFiles, CorrectionState, by_block
from spendstream.cost_stream.differences import deltas
from spendstream.domain import differences, rollups
from spendstream.domain.corrections import POSITIONS as PLACES
from spendstream.domain.differences import Differences
from spendstream.domain.rollups import LATE_BLOCK, MINUTE_US
from spendstream.runtime.kafka.columns import BATCH_LIMIT
from spendstream.runtime.kafka.consume import Run
from spendstream.schemas import encode

BLOCK, POSITIONS, DAY_MS = 16, 4, 100
BOUNDED = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
Truth = Counter[tuple[str, str, str, int]]


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollups, "LATE_BLOCK", BLOCK)
        patch.setattr(differences, "LATE_BLOCK", BLOCK)
        patch.setattr(differences, "MANY_ROWS", 4)
        patch.setattr(correction_state, "LATE_BLOCK", BLOCK)
        patch.setattr(correction_state, "POSITIONS", POSITIONS)
        patch.setattr(processor, "POSITIONS", POSITIONS)
        patch.setattr(correction_state, "DAY_MS", DAY_MS)
        yield


def correction(charge: int, revision: int, cost: int, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e-{charge}", "occurred_at": (charge % 5) * 400 * MINUTE_US, "incarnation": "usage",
        "source_partition": charge % 2, "source_offset": charge, "item": -1, "revision": revision, "run_id": "r",
        "reason": "reprice", "known_at": 0, "team": "ab"[charge % 2], "model": "m", "user_id": "u" * (charge % 3),
        "cost_before_pico_usd": 100, "cost_pico_usd": cost, "priced_events": 1, "partial_events": 0,
        "unpriced_events": -1, "status_before": "unpriced", "status_after": "priced", **fields,
    }  # fmt: skip


def log_of(entries: Sequence[tuple[int, int, int, int, int]], start: int = 0) -> list[Any]:
    """Records of (offset step, milliseconds on, charge, revision, cost); what no step and no pause parts is a batch."""
    offset, at, found, batch = start, 1_000, list[Any](), list[dict[str, Any]]()

    def record() -> None:
        single = len(batch) == 1 and batch[0]["source_offset"] % 2
        value = encode("Correction", batch[0]) if single else encode("CorrectionBatch", {"events": batch})
        found.append(SimpleNamespace(offset=offset, timestamp=at, key=None, value=value, headers=()))
        batch.clear()

    for step, pause, charge, revision, cost in entries:
        if batch and (step or pause or len(batch) == POSITIONS):
            record()
            offset += 1
        offset, at = offset + step, at + pause
        batch.append(correction(charge, revision, cost))
    if batch:
        record()
    return found


def truth(entries: Sequence[tuple[int, int, int, int, int]]) -> Truth:
    """The first correction of each charge and revision counts, unless a later revision came before it."""
    last, found = dict[int, int](), Truth()
    for _, _, charge, revision, cost in entries:
        if revision > last.get(charge, 0):
            last[charge] = revision
            minute = (charge % 5) * 400 * MINUTE_US
            for grain in ("owner", "caller") if charge % 3 else ("owner",):
                found["cost", grain, "ab"[charge % 2], minute] += cost
                found["priced", grain, "ab"[charge % 2], minute] += 1
    return Truth({key: value for key, value in found.items() if value})


def published(state: CorrectionState, records: Sequence[Any], cuts: Sequence[int]) -> Iterator[list[bytes]]:
    """`costs` values of each batch; `state` is behind each batch when it is handed out."""
    places = sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})
    for start, end in pairwise(places):
        for part in by_block(records[start:end]):
            taken = take_in(state, Run("corrections", 0, part), caller_rows=True)
            state.applied = part[-1].offset
            yield [value for _, (_, value) in taken.messages]


def read(values: Sequence[bytes], cuts: Sequence[int]) -> Truth:
    """Sums of the differences a reader of `costs` sees."""
    differences, found = Differences(2 * MINUTE_US), Truth()
    places = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    for start, end in pairwise(places):
        records = [SimpleNamespace(offset=i, value=values[i], key=None, timestamp=0) for i in range(start, end)]
        for row in deltas(differences, records).to_dicts():  # type: ignore[arg-type]
            assert row["events"] == row["requests"] == 0 and row["late"]
            found["cost", row["grain"], row["team"], row["minute"]] += row["cost_pico_usd"]
            found["priced", row["grain"], row["team"], row["minute"]] += row["priced_events"]
    return Truth({key: value for key, value in found.items() if value})


entries = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 3]), st.sampled_from([0, 1, 30, 70]), st.integers(0, 9), st.integers(1, 3),
        st.integers(-50, 50) | st.sampled_from([-9 * 10**18, 9 * 10**18]),
    ),
    min_size=1, max_size=40,
)  # fmt: skip
places = st.lists(st.integers(0, 80), max_size=8)


@BOUNDED
@given(entries, places, places)
def test_what_counts_adds_up_wherever_batches_and_fetches_are_cut(
    found: list[tuple[int, int, int, int, int]], batches: list[int], fetches: list[int]
) -> None:
    values = [value for batch in published(CorrectionState("i"), log_of(found), batches) for value in batch]
    assert read(values, fetches) == truth(found)


@BOUNDED
@given(entries, st.lists(st.tuples(places, st.integers(0, 6), st.integers(0, 5), st.booleans()), max_size=4), places)
def test_a_worker_that_dies_in_mid_batch_and_begins_again_changes_nothing(
    tmp_path: Path,
    found: list[tuple[int, int, int, int, int]],
    lives: list[tuple[list[int], int, int, bool]],
    fetches: list[int],
) -> None:
    records, values = log_of(found), list[bytes]()
    files = CorrectionFiles(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    for cuts, whole_batches, rows, saves in [*lives, ([], 1_000, 0, False)]:
        state = files.load() or CorrectionState("i")
        rest = [record for record in records if record.offset > state.applied]
        for i, batch in enumerate(published(state, rest, cuts)):
            if i == whole_batches:
                values += batch[:rows]  # then it dies: with the rest of the batch unsaid, and nothing saved of it
                break
            values += batch
            if saves and i == whole_batches // 2:
                files.save(state)
    assert read(values, fetches) == truth(found)


def test_the_rest_of_a_block_whose_beginning_is_gone_is_not_summed_up_again() -> None:
    before = [(0, 1, charge, 1, 10) for charge in range(3)]
    later = [(0, DAY_MS, charge, 1, 10) for charge in range(5, 8)]
    records = log_of([*before, *later])
    values = [value for batch in published(CorrectionState("i"), records, [2]) for value in batch]
    state = CorrectionState("i", lost_until=records[-1].offset + 1)
    rebuilt = [value for batch in published(state, records[1:], []) for value in batch]
    assert read([*values, *rebuilt], []) == truth([*before, *later])
    # What comes after the loss counts, also for charges of the part that was lost.
    more = log_of([(0, 3 * DAY_MS, 0, 2, 7), (0, 0, 1, 1, 99)], start=records[-1].offset + 1)
    values += [*rebuilt, *(value for batch in published(state, more, []) for value in batch)]
    assert read(values, []) == truth([*before, *later, (0, 0, 0, 2, 7)])


def test_readers_forget_corrections_of_blocks_that_are_over() -> None:
    newest, *old = [4, *range(0, 2_000, 5)]
    log = log_of([(1, 0, charge, 1, 1) for charge in (newest, *old)])
    values = [value for batch in published(CorrectionState("i"), log, range(0, 400, 5)) for value in batch]
    differences = Differences(2 * MINUTE_US)
    for i, value in enumerate(values):
        deltas(differences, [SimpleNamespace(offset=i, value=value, key=None, timestamp=0)])  # type: ignore[list-item]
    assert len(values) > 400 and len(differences) < 100


def test_a_record_has_a_position_for_each_member_of_a_batch() -> None:
    assert PLACES >= BATCH_LIMIT and LATE_BLOCK % PLACES == 0
