"""Files of GPU readings: what the options mean, and what is refused before anything is sent."""

import os
from pathlib import Path

import pytest

from spendstream.cli.failures import USAGE, CommandError
from spendstream.cli.gpu_sources import at_option, dcgm_files, interval_option, table_files
from spendstream.operations.gpu_import import Placed, Sent

NOON = 1_782_907_200_000_000
SERIES = 'DCGM_FI_DEV_GPU_UTIL{UUID="G",modelName="L4",Hostname="n"} 50\n'
HEADER = "gpu_uuid,sampled_at,interval_ms,gpu_model"


@pytest.mark.parametrize(("text", "milliseconds"), [("500ms", 500), ("30s", 30_000), ("1m", 60_000), ("1h", 3_600_000)])
def test_an_interval_is_a_number_and_a_unit(text: str, milliseconds: int) -> None:
    assert interval_option(text) == milliseconds


@pytest.mark.parametrize("text", ["", "30", "0s", "-1s", "half an hour"])
def test_anything_else_is_no_interval(text: str) -> None:
    with pytest.raises(CommandError) as refused:
        interval_option(text)
    assert refused.value.code == USAGE


def test_a_time_needs_its_offset() -> None:
    assert (at_option(None), at_option("2026-07-01T12:00:00Z")) == (None, NOON)
    for text in ("2026-07-01T12:00:00", "noon"):
        with pytest.raises(CommandError, match="--at"):
            at_option(text)


def test_a_scrape_without_any_time_was_taken_when_its_file_was_written(tmp_path: Path) -> None:
    path = tmp_path / "scrape.txt"
    path.write_text(SERIES + "half a li\n")
    os.utime(path, ns=(0, NOON * 1_000))
    [found] = dcgm_files([path], None, 30_000, "acme", None)
    assert [(record["org"], record["sampled_at"]) for record in found.records()] == [("acme", NOON)]
    assert [bad.line for bad in found.bad] == [2]


def test_a_recording_is_gone_through_and_not_held(tmp_path: Path) -> None:
    path = tmp_path / "scrapes.txt"
    path.write_bytes(SERIES.encode() * 3_000 + b"\xff\xfe\n")
    [found] = dcgm_files([path], NOON, 30_000, "acme", None)
    records = found.records()
    assert next(records)["sampled_at"] == NOON and found.readings == 1
    with pytest.raises(CommandError, match="what comes before counts"):
        list(records)
    with pytest.raises(CommandError, match="nothing was imported"):
        dcgm_files([tmp_path / "missing.txt"], NOON, 30_000, "acme", None)


def test_what_was_sent_comes_back_in_order_with_its_place() -> None:
    readings = [Placed(f"org-{i % 2}", f"GPU-{i % 3}", i, i % 4, i // 4) for i in range(25)]
    sent = Sent()
    for each in readings:
        sent.add(each)
    assert len(sent) == 25 and sent.ends == {0: 6, 1: 5, 2: 5, 3: 5}
    assert [each for chunk in sent.chunks(10) for each in chunk] == readings


def test_a_table_is_read_with_its_bad_rows_apart(tmp_path: Path) -> None:
    path = tmp_path / "gpus.csv"
    path.write_text(f"\ufeff{HEADER}\nG,2026-07-01T12:00:00Z,30000,L4\nG,soon,30000,L4\nG,a,b,c,d\n")
    [found] = table_files([path], "acme")
    assert [(record["org"], record["gpu_uuid"]) for record in found.records()] == [("acme", "G")]
    assert [(bad.line, bad.problem.split(":")[0]) for bad in found.bad] == [(3, "sampled_at"), (4, "interval_ms")]


@pytest.mark.parametrize("content", [b"gpu_uuid,colour\n", b"", b"\xff\xfe\x00"])
def test_a_file_that_is_no_table_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gpus.csv"
    path.write_bytes(content)
    with pytest.raises(CommandError, match="nothing was imported") as refused:
        table_files([path], "default")
    assert str(path) in str(refused.value) and refused.value.code == USAGE
    with pytest.raises(CommandError, match="missing"):
        table_files([tmp_path / "missing.csv"], "default")


def test_the_examples_are_read_whole() -> None:
    folder = Path(__file__).parents[3] / "examples"
    [scrapes] = dcgm_files([folder / "dcgm.txt"], NOON, 30_000, "default", None)
    [table] = table_files([folder / "gpu.csv"], "default")
    assert [(len(each["instances"]), len(each["processes"])) for each in scrapes.records()] == [(0, 1), (2, 1)] * 2
    assert [len(each["processes"]) for each in table.records()] == [2, 0]
    assert not scrapes.bad and not table.bad and (scrapes.readings, table.readings) == (4, 2)
