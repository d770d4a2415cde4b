"""What a DCGM exporter answers, and a table of readings, as records; what cannot be read is named by its line."""

from typing import Any

import pytest

from spendstream.domain.gpu.dcgm import BadLine, DcgmReader, mig_fraction
from spendstream.domain.gpu.table import read_table, wrong_header
from spendstream.schemas import decode, encode
from tests.support.gpu import scrape

AT = 1_782_907_200_000_000  # 2026-07-01T12:00:00Z
DEVICE = 'gpu="0",UUID="GPU-0",modelName="NVIDIA H100 80GB HBM3",Hostname="node-7"'


def reader(**options: Any) -> DcgmReader:
    return DcgmReader(AT, 30_000, **options)


def records(text: str, **options: Any) -> list[dict[str, Any]]:
    found = list(reader(**options).read(text.splitlines()))
    assert not [each for each in found if isinstance(each, BadLine)]
    return [each for each in found if isinstance(each, dict)]


def one(text: str, **options: Any) -> dict[str, Any]:
    [record] = records(text, **options)
    return record


def test_every_record_of_a_scrape_is_a_gpu_sample() -> None:
    found = records(scrape())
    assert [record["gpu_uuid"] for record in found] == ["GPU-0", "GPU-1", "GPU-2", "GPU-3"]
    for record in found:
        name, travelled = decode(encode("GpuSample", record))
        assert name == "GpuSample" and travelled["gpu_uuid"] == record["gpu_uuid"]


def test_load_memory_and_the_pod_of_a_whole_device() -> None:
    device = records(scrape(engine=0.25))[0]
    assert (device["engine_active"], device["utilization"], device["sm_active"]) == (0.25, 0.97, None)
    assert (device["memory_used_bytes"], device["memory_total_bytes"]) == (40_000 * 2**20, 81_000 * 2**20)
    assert (device["host"], device["gpu_model"]) == ("node-7", "NVIDIA H100 80GB HBM3")
    [process] = device["processes"]
    assert (process["namespace"], process["pod"], process["container"]) == ("search", "ranker-7d9f", "server")
    assert process["sm_share"] is None


def test_mig_instances_belong_to_the_record_of_their_device() -> None:
    device = records(scrape())[1]
    assert [(each["mig_instance"], each["fraction"]) for each in device["instances"]] == [("1", 3 / 7), ("2", 1 / 7)]
    assert [(each["pod"], each["mig_instance"]) for each in device["processes"]] == [("lab-0", "1")]
    assert device["temperature_celsius"] == 41


def test_pods_in_time_slices_share_the_value_of_the_device() -> None:
    device = records(scrape(), time_slices=4)[3]
    assert (device["engine_active"], device["time_slices"]) == (0.4, 4)
    assert [(each["pod"], each["time_slices"], each["sm_share"]) for each in device["processes"]] == [
        ("ranker-0", 1, None), ("ranker-1", 1, None),
    ]  # fmt: skip


def test_values_that_differ_between_the_pods_of_a_device_are_their_own() -> None:
    lines = [f'DCGM_FI_PROF_SM_ACTIVE{{{DEVICE},pod="{pod}"}} {value}' for pod, value in (("a", 0.5), ("b", 0.2))]
    device = one("\n".join(lines))
    assert [(each["pod"], each["sm_share"]) for each in device["processes"]] == [("a", 0.5), ("b", 0.2)]
    assert device["sm_active"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    "blank", ["9223372036854775794", "9.223372036854776e+18", "9223372036854775792", "2147483632",
              "140737488355328.000000", "NaN", "+Inf"],
)  # fmt: skip
def test_blanks_are_missing_and_not_large_numbers(blank: str) -> None:
    device = one(f"DCGM_FI_DEV_GPU_UTIL{{{DEVICE}}} {blank}\nDCGM_FI_DEV_POWER_USAGE{{{DEVICE}}} {blank}")
    assert (device["utilization"], device["power_watts"]) == (None, None)


def test_either_spelling_of_the_host_and_renamed_pod_labels_are_understood() -> None:
    exported = 'pod="dcgm-exporter-x",namespace="monitoring",exported_pod="ranker-0",exported_namespace="search"'
    labels = f'UUID="GPU-0",modelName="L4",hostname="n",{exported},hpc_job="42"'
    device = one(f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} 50")
    assert device["host"] == "n"
    [process] = device["processes"]
    assert (process["pod"], process["namespace"], process["job"]) == ("ranker-0", "search", "42")


def test_escaped_quotes_commas_and_braces_in_labels_are_their_text() -> None:
    device = one(r'DCGM_FI_DEV_GPU_UTIL{UUID="GPU-0",modelName="A, \"B\" {C}",Hostname="n\\x"} 1')
    assert (device["gpu_model"], device["host"]) == ('A, "B" {C}', "n\\x")


def test_a_series_that_comes_again_begins_the_next_scrape() -> None:
    found = records(f"DCGM_FI_DEV_GPU_UTIL{{{DEVICE}}} 1\n" * 3)
    assert [record["sampled_at"] - AT for record in found] == [0, 30_000_000, 60_000_000]
    assert {record["interval_ms"] for record in found} == {30_000}


def test_scrapes_of_other_devices_were_taken_together_and_time_goes_on_from_file_to_file() -> None:
    files = [f'DCGM_FI_DEV_GPU_UTIL{{UUID="{uuid}",modelName="L4"}} 1' for uuid in ("A", "B", "A", "B")]
    reading = reader()
    found = [record for text in files for record in reading.read([text]) if isinstance(record, dict)]
    assert [(each["gpu_uuid"], each["sampled_at"] - AT) for each in found] == [
        ("A", 0), ("B", 0), ("A", 30_000_000), ("B", 30_000_000),
    ]  # fmt: skip


def test_timestamps_count_and_the_time_since_the_scrape_before_is_billed_unless_it_is_a_gap() -> None:
    times = [0, 31_000, 45_000, 105_000, 165_001]
    lines = [f"DCGM_FI_DEV_GPU_UTIL{{{DEVICE}}} 1 {AT // 1_000 + at}" for at in times]
    found = records("\n".join(lines))
    assert [record["sampled_at"] - AT for record in found] == [at * 1_000 for at in times]
    assert [record["interval_ms"] for record in found] == [30_000, 31_000, 14_000, 60_000, 30_000]


def test_energy_is_what_the_counter_gained_and_unknown_after_a_reset() -> None:
    lines = [f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{DEVICE}}} {counter}" for counter in (1_000, 16_000, 500)]
    assert [record.get("energy_millijoules") for record in records("\n".join(lines))] == [None, 15_000, None]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("<html>", "is no sample"),
        (f"DCGM_FI_DEV_GPU_UTIL{{{DEVICE}}}", "is no sample"),
        (f"DCGM_FI_DEV_GPU_UTIL{{{DEVICE}}} much", "is not a number"),
        ("DCGM_FI_DEV_GPU_UTIL{UUID=GPU-0} 1", "labels cannot be read"),
        ("DCGM_FI_DEV_GPU_UTIL 1", "names no device"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_the_others_count(line: str, problem: str) -> None:
    good = f"DCGM_FI_DEV_GPU_UTIL{{{DEVICE}}} 1"
    record, bad = sorted(reader().read([good, line]), key=lambda each: isinstance(each, BadLine))
    assert isinstance(record, dict) and isinstance(bad, BadLine)
    assert bad.line == 2 and problem in bad.problem


@pytest.mark.parametrize(
    ("profile", "model", "fraction"),
    [("1g.10gb", "H100", 1 / 7), ("7g.80gb", "H100", 1), ("1g.10gb+me", "H100", 1 / 7), ("1c.3g.40gb", "H100", 3 / 7),
     ("2g.12gb", "NVIDIA A30", 1 / 2), ("", "H100", 1)],
)  # fmt: skip
def test_a_mig_profile_names_its_share_of_the_compute_slices(profile: str, model: str, fraction: float) -> None:
    assert mig_fraction(profile, model) == fraction


def test_an_instance_that_reports_under_its_own_uuid_is_a_slice() -> None:
    device = one('DCGM_FI_PROF_SM_ACTIVE{UUID="MIG-1",modelName="A100 MIG 2g.20gb",pod="p"} 0.5')
    assert (device["fraction"], device["sm_active"], device["instances"]) == (2 / 7, 0.5, [])


ROW = {"gpu_uuid": "G", "sampled_at": "2026-07-01T12:00:00Z", "interval_ms": "30000", "gpu_model": "L4"}


def test_rows_of_one_device_and_moment_are_one_reading_wherever_they_stand() -> None:
    other = {**ROW, "gpu_uuid": "H"}
    rows = [{**ROW, "team": "search", "sm_share": "0.5", "process_time_slices": "2"}, other, {**ROW, "team": "lab"}]
    first, second = read_table(enumerate(rows, 2))
    assert isinstance(first, dict) and isinstance(second, dict)
    assert first["processes"] == [{"team": "search", "sm_share": 0.5, "time_slices": 2}, {"team": "lab"}]
    assert (first["sampled_at"], second["gpu_uuid"], second["processes"]) == (AT, "H", [])
    assert encode("GpuSample", first) and encode("GpuSample", second)


def test_instances_of_a_table_are_listed_once() -> None:
    half = {**ROW, "mig_instance": "1", "instance_fraction": "0.5", "instance_sm_active": "0.25"}
    [record] = read_table(enumerate([{**half, "pod": "a"}, {**half, "pod": "b"}], 2))
    assert isinstance(record, dict)
    assert record["instances"] == [{"mig_instance": "1", "fraction": 0.5, "sm_active": 0.25}]
    assert [each["pod"] for each in record["processes"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [({"interval_ms": "soon"}, "interval_ms"), ({"sampled_at": "2026-07-01T12:00:00"}, "offset"),
     ({"gpu_model": ""}, "gpu_model is empty"), ({"instance_sm_active": "0.5"}, "instance_fraction is empty")],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_named(wrong: dict[str, str], problem: str) -> None:
    [bad] = read_table([(7, {**ROW, **wrong})])
    assert isinstance(bad, BadLine) and bad.line == 7 and problem in bad.problem


def test_a_header_says_what_it_lacks_and_what_nobody_knows() -> None:
    assert wrong_header(ROW) is None
    assert wrong_header(["gpu_uuid"]) == "no column sampled_at, interval_ms, gpu_model"
    assert str(wrong_header([*ROW, "colour"])).startswith("unknown column colour; known: org")
