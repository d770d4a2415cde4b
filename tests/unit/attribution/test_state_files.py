"""What attribution keeps on disk: torn, corrupted or missing files cost time, never an id and never an amount."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.attribution.usage import state as module
from spendstream.attribution.usage.positions import pack_positions, unpack_positions
from spendstream.attribution.usage.state import (
    FRAME,
    NOTHING,
    IdLog,
    PartitionState,
    Snapshots,
)
from spendstream.domain.attribution.dedup import DedupIndex
from spendstream.domain.rollups import CALLER_DIMENSIONS, OWNER_DIMENSIONS, SUMS

FOR_EVER_MS = 10**15


@given(st.lists(st.booleans(), max_size=2_000))
def test_positions_survive_packing(flags: list[bool]) -> None:
    packed = pack_positions(np.array(flags, dtype=bool))
    assert unpack_positions(packed, len(flags)).tolist() == flags


@pytest.mark.parametrize("place", [0, 1, 126, 127, 128, 129, 16_383, 16_384, 16_511, 1_999_999])
def test_one_position_far_away_is_a_few_bytes(place: int) -> None:
    flags = np.zeros(2_000_000, dtype=bool)
    flags[place] = True
    packed = pack_positions(flags)
    assert len(packed) <= 4 and np.flatnonzero(unpack_positions(packed, flags.size)).tolist() == [place]


def test_nothing_packs_to_nothing() -> None:
    assert pack_positions(np.zeros(5_000, dtype=bool)) == b""


def new_log(folder: Path, incarnation: str = "i") -> IdLog:
    return IdLog(folder, "hash", incarnation)


def write(log: IdLog, frames: int, size: int = 3, start: int = 0, step: int = 10, appended_ms: int = 0) -> None:
    for i in range(start, start + frames):
        ids = np.arange(1 + i * size, 1 + (i + 1) * size, dtype=np.uint64)
        log.append(i * step, (i + 1) * step - 1, appended_ms or 1_000 + i, ids, (ids + 7).astype(np.uint32))


def read(log: IdLog, since_ms: int = 0) -> tuple[DedupIndex, int]:
    dedup = DedupIndex(FOR_EVER_MS, 10**9)
    return dedup, log.load(dedup, since_ms)


def known(dedup: DedupIndex, count: int) -> list[int]:
    """Which of the ids 1 … count the index holds with their content."""
    ids = np.arange(1, count + 1, dtype=np.uint64)
    return ids[dedup.judge(ids, (ids + 7).astype(np.uint32)).duplicate].tolist()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.log"))


def test_an_empty_log_covers_nothing(tmp_path: Path) -> None:
    assert read(new_log(tmp_path))[1] == NOTHING


def test_ids_come_back_with_their_content(tmp_path: Path) -> None:
    write(new_log(tmp_path), 5)
    dedup, covered = read(new_log(tmp_path))
    assert (covered, known(dedup, 16)) == (49, list(range(1, 16)))


def test_a_range_without_ids_is_covered_all_the_same(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    log.append(0, 9, 5, np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint32))
    assert read(new_log(tmp_path))[1] == 9


def test_another_incarnation_or_hash_has_a_log_of_its_own(tmp_path: Path) -> None:
    write(new_log(tmp_path), 2)
    assert read(new_log(tmp_path, "j"))[1] == NOTHING
    assert read(IdLog(tmp_path, "other-hash", "i"))[1] == NOTHING


def test_a_tail_torn_at_any_byte_costs_the_last_frame_only(tmp_path: Path) -> None:
    write(new_log(tmp_path / "whole"), 3)
    frame = FRAME.size + 3 * 12
    for size in range(3 * frame):
        folder = tmp_path / str(size)
        shutil.copytree(tmp_path / "whole", folder)
        path = segments(folder)[0]
        path.write_bytes(path.read_bytes()[:size])
        whole = size // frame
        dedup, covered = read(new_log(folder))
        assert covered == (whole * 10 - 1 if whole else NOTHING)
        assert known(dedup, 9) == list(range(1, 3 * whole + 1))
        assert path.stat().st_size == whole * frame, "later frames must follow a whole one"
        shutil.rmtree(folder)


def test_what_is_appended_behind_a_torn_tail_is_read_again(tmp_path: Path) -> None:
    write(new_log(tmp_path), 3)
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-5])
    log = new_log(tmp_path)
    assert read(log)[1] == 19
    write(log, 2, start=2)
    dedup, covered = read(new_log(tmp_path))
    assert (covered, known(dedup, 12)) == (39, list(range(1, 13)))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 5 * (FRAME.size + 36) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_invents_an_id(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("flip")
    write(new_log(folder), 5)
    path = segments(folder)[0]
    data = bytearray(path.read_bytes())
    data[at] ^= flip
    path.write_bytes(data)
    dedup, covered = read(new_log(folder))
    broken = at // (FRAME.size + 36)
    # Ids are covered by the checksum; the header is not, and what it lies about must not reach beyond its own frame.
    assert set(known(dedup, 15)) <= set(range(1, 16))
    assert dedup.count <= 15
    if (at % (FRAME.size + 36)) >= FRAME.size:
        assert covered == (broken * 10 - 1 if broken else NOTHING)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 4), st.integers(0, 15), st.integers(1, 255))
def test_a_flipped_position_is_recognised(
    tmp_path_factory: pytest.TempPathFactory, frame: int, byte: int, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    write(new_log(folder), 5)
    path = segments(folder)[0]
    data = bytearray(path.read_bytes())
    data[frame * (FRAME.size + 36) + byte] ^= flip
    path.write_bytes(data)
    dedup, covered = read(new_log(folder))
    held = known(dedup, 15)
    # Whatever is claimed as covered from its first frame on must be there: the loader rebuilds only what is not.
    assert covered <= 49 and held == list(range(1, 3 * (covered + 1) // 10 + 1)), (covered, held)


def small_segments(monkeypatch: pytest.MonkeyPatch, folder: Path, frames: int) -> list[Path]:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 2 * (FRAME.size + 36) - 1)
    write(new_log(folder), frames)
    return segments(folder)


def test_a_log_of_several_segments_is_one_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(small_segments(monkeypatch, tmp_path, 8)) == 4
    dedup, covered = read(new_log(tmp_path))
    assert (covered, known(dedup, 24)) == (79, list(range(1, 25)))


def test_segments_that_are_wholly_beyond_the_horizon_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_segments(monkeypatch, tmp_path, 8)
    dedup, covered = read(new_log(tmp_path), since_ms=1_005)
    assert (covered, known(dedup, 24)) == (79, list(range(16, 25)))
    assert len(segments(tmp_path)) == 2
    dedup, covered = read(new_log(tmp_path), since_ms=1_005)
    assert (covered, known(dedup, 24)) == (79, list(range(16, 25)))


def test_the_newest_segment_stays_even_when_everything_is_too_old(tmp_path: Path) -> None:
    write(new_log(tmp_path), 3)
    dedup, covered = read(new_log(tmp_path), since_ms=10**9)
    assert (dedup.count, covered, len(segments(tmp_path))) == (0, 29, 1)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_segment_is_never_claimed_as_covered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    # Ids inside the horizon that are in no file must be rebuilt from Kafka, or their duplicates are charged again.
    small_segments(monkeypatch, tmp_path, 8)[missing].unlink()
    dedup, covered = read(new_log(tmp_path))
    assert covered == NOTHING or known(dedup, 24) == list(range(1, 3 * (covered + 1) // 10 + 1)), (covered, dedup.count)


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_segment_corrupted_in_the_middle_is_never_claimed_as_covered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segment: int
) -> None:
    path = small_segments(monkeypatch, tmp_path, 8)[segment]
    data = bytearray(path.read_bytes())
    data[FRAME.size + 36 + FRAME.size + 3] ^= 0xFF
    path.write_bytes(data)
    dedup, covered = read(new_log(tmp_path))
    assert covered == NOTHING or known(dedup, 24) == list(range(1, 3 * (covered + 1) // 10 + 1)), (covered, dedup.count)


def test_starting_over_leaves_no_file(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    write(log, 3)
    log.forget_all()
    assert read(log)[1] == NOTHING


def open_state(applied: int = 41, incarnation: str = "i") -> PartitionState:
    """A state with one open row in each grain; every sum is `applied`."""
    state = PartitionState(2, incarnation, DedupIndex(FOR_EVER_MS, 100), applied, plan_at=7, watermark=123_456)
    for rollups, dimensions in ((state.owner, OWNER_DIMENSIONS), (state.caller, CALLER_DIMENSIONS)):
        row = {**dict.fromkeys(dimensions, "x"), "minute": 0, "late_block": -1, "offset": 3}
        rollups.add(pl.DataFrame({name: [value] for name, value in {**row, **dict.fromkeys(SUMS, applied)}.items()}))
    return state


def empty_state(incarnation: str = "i") -> PartitionState:
    return PartitionState(2, incarnation, DedupIndex(FOR_EVER_MS, 100), applied=99)


def is_as_saved(state: PartitionState, applied: int = 41) -> bool:
    assert (state.applied, state.plan_at, state.watermark) == (applied, 7, 123_456)
    for rollups in (state.owner, state.caller):
        frame = rollups.snapshot()
        assert frame.select(SUMS).rows() == [(applied,) * len(SUMS)]
        assert frame["epoch"].to_list() == [3]
    return True


def test_a_snapshot_comes_back(tmp_path: Path) -> None:
    snapshots, fresh = Snapshots(tmp_path), empty_state()
    snapshots.save(open_state())
    assert snapshots.plan_at() == 7
    assert snapshots.load(fresh, 100) and is_as_saved(fresh)
    assert fresh.rebuild_from == 3


def test_without_a_snapshot_there_is_nothing_to_load(tmp_path: Path) -> None:
    fresh = empty_state()
    assert not Snapshots(tmp_path).load(fresh, 100)
    assert Snapshots(tmp_path).plan_at() == 0
    assert (fresh.applied, len(fresh.owner)) == (99, 0)


def test_a_snapshot_of_another_incarnation_is_not_believed(tmp_path: Path) -> None:
    Snapshots(tmp_path).save(open_state())
    assert not Snapshots(tmp_path).load(empty_state("j"), 100)


@pytest.mark.parametrize(("next_first", "believed"), [(41, False), (42, True), (43, True)])
def test_a_snapshot_ahead_of_the_plan_log_is_not_believed(tmp_path: Path, next_first: int, believed: bool) -> None:
    Snapshots(tmp_path).save(open_state())
    assert Snapshots(tmp_path).load(empty_state(), next_first) is believed


def test_a_newer_snapshot_replaces_the_older_one_and_its_files(tmp_path: Path) -> None:
    snapshots, fresh = Snapshots(tmp_path), empty_state()
    snapshots.save(open_state(41))
    snapshots.save(open_state(77))
    assert snapshots.load(fresh, 100) and is_as_saved(fresh, 77)
    assert len(list(tmp_path.glob("*.arrow"))) == 2


class Killed(BaseException):
    """Stands for the process that is gone between two writes."""


@pytest.mark.parametrize("call", ["write_ipc", "write_text", "replace", "unlink"])
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("applied", [41, 77], ids=["the same offset again", "a newer offset"])
def test_a_kill_at_any_moment_of_saving_leaves_a_snapshot_that_can_be_used(
    tmp_path: Path, call: str, nth: int, applied: int
) -> None:
    Snapshots(tmp_path).save(open_state(41))
    with pytest.MonkeyPatch.context() as patch:
        owner = pl.DataFrame if call == "write_ipc" else Path
        original, calls = getattr(owner, call), [0]

        def dies(self: object, *arguments: object, **options: object) -> object:
            calls[0] += 1
            if calls[0] == nth:
                if call == "write_ipc":  # half of it has reached the disk
                    original(self, *arguments, **options)
                    path = Path(str(arguments[0]))
                    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
                raise Killed
            return original(self, *arguments, **options)

        patch.setattr(owner, call, dies)
        with contextlib.suppress(Killed):
            Snapshots(tmp_path).save(open_state(applied))
    fresh = empty_state()
    assert Snapshots(tmp_path).load(fresh, 100), "the snapshot that was there before is gone"
    assert is_as_saved(fresh, fresh.applied) and fresh.applied in (41, applied)


def test_a_snapshot_file_cut_or_garbled_at_any_place_is_refused_or_right(tmp_path: Path) -> None:
    Snapshots(tmp_path).save(open_state())
    saved = sorted(tmp_path.iterdir())
    assert [path.suffix for path in saved] == [".arrow", ".arrow", ".json"]
    for path in saved:
        whole = path.read_bytes()
        for size in range(0, len(whole), max(1, len(whole) // 50)):
            path.write_bytes(whole[:size])
            fresh = empty_state()
            assert not Snapshots(tmp_path).load(fresh, 100), (path.name, size)
            Snapshots(tmp_path).plan_at()
        path.write_bytes(whole)


@pytest.mark.parametrize("head", ["null", "[]", "7", '"x"', "{}", '{"incarnation": "i", "applied": "x", "files": {}}'])
def test_a_head_of_another_shape_is_no_snapshot(tmp_path: Path, head: str) -> None:
    Snapshots(tmp_path)
    (tmp_path / "state.json").write_text(head)
    assert not Snapshots(tmp_path).load(empty_state(), 100)
    assert Snapshots(tmp_path).plan_at() == 0
