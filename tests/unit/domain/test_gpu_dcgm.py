"""What a DCGM exporter answers, and a table of readings, as records; what cannot be read is named by its line."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.gpu import MEMORY, SM
from spendstream.domain.gpu.dcgm import DcgmReader
from spendstream.domain.gpu.devices import mig_fraction
from spendstream.domain.gpu.lines import BadLine
from spendstream.domain.gpu.table import read_table, wrong_header
from spendstream.schemas import decode, encode
from tests.support.gpu import scrape
from tests.unit.domain.gpu_support import book, price, rated

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
     ("2g.12gb", "NVIDIA A30", 1 / 2), ("", "H100", None)],
)  # fmt: skip
def test_a_mig_profile_names_its_share_of_the_compute_slices(profile: str, model: str, fraction: float | None) -> None:
    assert mig_fraction(profile, model) == fraction


def test_an_instance_that_reports_under_its_own_uuid_is_a_slice() -> None:
    device = one('DCGM_FI_PROF_SM_ACTIVE{UUID="MIG-1",modelName="A100 MIG 2g.20gb",pod="p"} 0.5')
    assert (device["fraction"], device["sm_active"], device["instances"]) == (2 / 7, 0.5, [])


def test_slices_that_do_not_say_their_profile_have_equal_parts_of_what_is_left() -> None:
    lines = [f'DCGM_FI_PROF_SM_ACTIVE{{{DEVICE},GPU_I_ID="{i}"{more}}} 0.5'
             for i, more in enumerate((',GPU_I_PROFILE="3g.40gb"', "", ""), 1)]  # fmt: skip
    assert [each["fraction"] for each in one("\n".join(lines))["instances"]] == pytest.approx([3 / 7, 2 / 7, 2 / 7])
    own = [f'DCGM_FI_PROF_SM_ACTIVE{{UUID="MIG-{i}",modelName="H100",gpu="0",Hostname="n"}} 1' for i in range(4)]
    found = records("\n".join(own))
    assert [(each["fraction"], each["parent_uuid"]) for each in found] == [(1 / 4, "n/gpu0")] * 4


def test_slices_under_a_uuid_of_their_own_belong_to_their_device_where_it_reports_too() -> None:
    shared = 'modelName="H100 MIG 3g.40gb",gpu="0",Hostname="node-7"'
    slices = [f'DCGM_FI_PROF_SM_ACTIVE{{UUID="MIG-{i}",{shared},pod="p{i}"}} 0.5' for i in range(2)]
    device = one("\n".join([f"DCGM_FI_DEV_GPU_TEMP{{{DEVICE}}} 40", *slices]))
    assert (device["gpu_uuid"], device["gpu_model"]) == ("GPU-0", "NVIDIA H100 80GB HBM3")
    assert [(each["mig_instance"], each["fraction"]) for each in device["instances"]] == [
        ("MIG-0", 3 / 7), ("MIG-1", 3 / 7),
    ]  # fmt: skip
    assert [(each["pod"], each["mig_instance"]) for each in device["processes"]] == [("p0", "MIG-0"), ("p1", "MIG-1")]


TARGET = 'job="dcgm",instance="10.0.0.7:9400",namespace="monitoring",service="nvidia-dcgm-exporter"'


def test_the_exporters_own_pod_holds_nothing_whoever_wins_the_labels() -> None:
    own = f'{DEVICE},{TARGET},pod="nvidia-dcgm-exporter-x7",container="exporter"'
    assert one(f"DCGM_FI_DEV_GPU_UTIL{{{own}}} 0")["processes"] == []
    exported = f'{own},exported_pod="ranker-0",exported_namespace="search",exported_service="ranker",team="search"'
    [process] = one(f"DCGM_FI_DEV_GPU_UTIL{{{exported}}} 50")["processes"]
    named = [process.get(name) for name in ("pod", "namespace", "container", "service", "team")]
    assert named == ["ranker-0", "search", None, "ranker", "search"]
    honoured = f'{DEVICE},{TARGET.replace("monitoring", "search")},pod="ranker-0",container="server"'
    [process] = one(f"DCGM_FI_DEV_GPU_UTIL{{{honoured}}} 50")["processes"]
    assert (process["pod"], process["container"], process.get("service")) == ("ranker-0", "server", None)


def test_what_prometheus_federates_is_sorted_out_by_device_and_moment() -> None:
    ms = AT // 1_000
    devices = [f'UUID="{uuid}",modelName="L4",Hostname="n",gpu="{i}"' for i, uuid in enumerate("AB")]
    first = [
        f"{metric}{{{device}}} {value} {ms + scraped}"
        for metric, value in (("DCGM_FI_DEV_GPU_UTIL", 50), ("DCGM_FI_DEV_GPU_TEMP", 40))
        for device, scraped in zip(devices, (0, 7_000), strict=True)
    ]
    later = [line.replace(str(ms), str(ms + 30_000)).replace(str(ms + 7_000), str(ms + 37_000)) for line in first]
    found = records("\n".join([*first, *later]))
    times = sorted((each["gpu_uuid"], each["sampled_at"] - AT, each["interval_ms"]) for each in found)
    assert times == [("A", 0, 30_000), ("A", 30_000_000, 30_000), ("B", 7_000_000, 30_000), ("B", 37_000_000, 30_000)]
    assert {(each["utilization"], each["temperature_celsius"]) for each in found} == {(0.5, 40.0)}


def test_two_that_scrape_one_device_bill_its_time_once() -> None:
    ms, jobs = AT // 1_000, ("one", "two")
    lines = [
        f'{metric}{{{DEVICE},job="{job}"}} 1 {ms + i * 30_000 + (job == "two") * 12_000}'
        for i in range(4)
        for metric in ("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_TEMP")
        for job in jobs
    ]
    found = records("\n".join(lines))
    assert [each["interval_ms"] for each in found] == [30_000, 12_000, *[18_000, 12_000] * 3]
    assert {each["temperature_celsius"] for each in found} == {1.0}


def test_times_in_seconds_are_those_of_openmetrics() -> None:
    for at in ("1782907200.000", "1782907200", "1782907200000"):
        assert one(f"DCGM_FI_DEV_GPU_UTIL{{{DEVICE}}} 1 {at}")["sampled_at"] == AT


def test_labels_in_another_order_are_the_same_series_and_hosts_may_be_said_twice() -> None:
    one_way, other = f'{DEVICE},hostname="pod-3"', f'hostname="pod-3",{DEVICE}'
    found = records(f"DCGM_FI_DEV_GPU_UTIL{{{one_way}}} 1\nDCGM_FI_DEV_GPU_UTIL{{{other}}} 2")
    assert [(each["utilization"], each["host"]) for each in found] == [(0.01, "node-7"), (0.02, "node-7")]


def test_own_values_above_all_of_the_device_are_all_of_it_and_negative_ones_are_none() -> None:
    lines = [f'DCGM_FI_DEV_GPU_UTIL{{{DEVICE},pod="{pod}"}} {value}' for pod, value in (("a", 101), ("b", 50))]
    device = one("\n".join([*lines, f"DCGM_FI_DEV_FB_USED{{{DEVICE}}} -1"]))
    assert [each["sm_share"] for each in device["processes"]] == [1.0, 0.5]
    assert device["memory_used_bytes"] is None


VALUES = st.sampled_from(
    ["0", "0.25", "1", "37", "101", "-1", "NaN", "+Inf", "9223372036854775794", "2147483632", "1e300"]
)
METRICS = st.sampled_from([
    "DCGM_FI_PROF_SM_ACTIVE", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_OF_TOMORROW",
])  # fmt: skip
PLACES = st.sampled_from(
    [
        "",
        *(
            f',GPU_I_ID="{i}",GPU_I_PROFILE="{profile}"'
            for i, profile in enumerate(("3g.40gb", "2g.20gb", "1g.10gb", ""))
        ),
    ]
)
OWNERS = st.sampled_from([
    "", ',pod="a"', ',pod="b",namespace="search"', ',pod="a",vgpu="1"', ',hpc_job="7"', ',exported_pod="c",pod="x"',
    ',pod="nvidia-dcgm-exporter-1"', ',team="lab"',
])  # fmt: skip
SCRAPES = st.lists(st.tuples(METRICS, PLACES, OWNERS, VALUES), min_size=1, max_size=12)


@given(SCRAPES, st.none() | st.integers(1, 8), st.sampled_from([SM, MEMORY]))
def test_whatever_an_exporter_says_its_devices_are_billed_whole(
    lines: list[tuple[str, str, str, str]], time_slices: int | None, basis: str
) -> None:
    text = "\n".join(f"{metric}{{{DEVICE}{place}{owner}}} {value}" for metric, place, owner, value in lines)
    for record in records(text, time_slices=time_slices):
        _, travelled = decode(encode("GpuSample", record))
        sampled_at = record["sampled_at"]
        result = rated({**travelled, "sampled_at": sampled_at}, book(basis=basis, prices=[price(gpu="H100 80GB HBM3")]))
        assert sum(row.cost_pico_usd for row in result.rows) == result.cost_pico_usd > 0
        assert sum(row.share for row in result.rows) == 1


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
