"""Recorded GPU telemetry in, every pico-dollar of every device owned, idle or unallocated; nothing twice."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spendstream.schemas import encode
from tests.support.gpu import DECLARED, MODEL, scrape
from tests.support.installation import Installation
from tests.support.usage import message, now_us, usage

pytestmark = pytest.mark.embedded

NOON = "2026-07-01T12:00:00Z"
DAY_US = 86_400_000_000
#: Three priced devices, four readings of 30 s each, $4.50 an hour.
SOURCE = 3 * 4 * Decimal("4.50") * 30 / 3600


@pytest.fixture
def system(installation: Installation, tmp_path: Path) -> Installation:
    installation.service("attribution").start()
    (tmp_path / "declared.yaml").write_text(DECLARED)
    installation.run("apply", "-f", str(tmp_path / "declared.yaml"))
    return installation


def imported(system: Installation, path: Path, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(system.run("import", "gpu", str(path), *options, "--json").stdout)
    return found


def buckets(system: Installation) -> dict[str, Decimal]:
    return dict(system.query("select bucket, sum(cost_usd) from v_gpu_cost where status = 'priced' group by bucket"))


def test_a_recorded_exporter_is_owned_idle_or_unallocated_to_the_pico_dollar(
    system: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "scrapes.txt"
    path.write_text(scrape() * 4)
    dcgm = ("--format", "dcgm", "--at", NOON, "--interval", "30s")
    first = imported(system, path, *dcgm)
    assert (first["readings"], first["counted"], first["already_there"], first["rejected"]) == (16, 16, 0, 0)

    device = SOURCE / 3  # GPU-0: a quarter used. GPU-1: 3/7 to research, half of it used; 4/7 and GPU-2 to nobody
    assert buckets(system) == {
        "search": device / 4,
        "idle:search": device * 3 / 4,
        "research": Decimal("0.032142857144"),
        "idle:research": Decimal("0.032142857144"),
        "idle": Decimal("0.235714285712"),
    }
    assert sum(buckets(system).values()) == SOURCE
    unequal = """select count() from gpu_samples as s final
      left join (select org, gpu_uuid, ts, cost_usd as whole_usd from gpu_costs final where superseded_at = 0) as whole
        using (org, gpu_uuid, ts)
      left join (select org, gpu_uuid, ts, sum(cost_usd) as parts_usd, sum(share) as parts from v_gpu_cost
        group by org, gpu_uuid, ts) as parts using (org, gpu_uuid, ts)
      where whole_usd != parts_usd or abs(parts - 1) > 1e-9"""
    assert system.value(unequal) == 0
    owner = "select distinct team, project, environment, cost_center, service, owner_source from v_gpu_cost"
    assert system.query(f"{owner} where gpu_uuid = 'GPU-0'") == [
        ("search", "rank", "prod", "cc-1", "ranker", "registry")
    ]
    assert system.query("select gpu_model, unpriced_reason, samples from v_gpu_unpriced") == [
        ("NVIDIA B200", "model", 4)
    ]
    two_pods = "select kind, round(sum(share), 9) from v_gpu_cost where gpu_uuid = 'GPU-3' group by kind order by kind"
    assert system.query(two_pods) == [("idle_owner", 2.4), ("used", 1.6)]

    alert = "select any(state) from v_alerts where name = 'unpriced_gpu' and scope['gpu_model'] = 'NVIDIA B200'"
    system.until(alert, lambda state: state == "firing")
    (tmp_path / "late.yaml").write_text(
        "kind: Price\nname: gpu/b200\nspec: {gpu: NVIDIA B200, usd_per_hour: 7.00, effective_from: 2026-01-01}\n"
    )
    system.run("apply", "-f", str(tmp_path / "late.yaml"))
    system.until("select count() from v_gpu_unpriced", lambda n: n == 0)
    system.until(alert, lambda state: state == "resolved")
    late = 4 * Decimal("7.00") * 30 / 3600
    unequal_late = system.value("select sum(cost_usd) from v_gpu_cost where gpu_model = 'NVIDIA B200'") - late
    assert abs(unequal_late) < Decimal("1e-11") and system.value(unequal) == 0

    checks = json.loads(system.run("doctor", "--json", check=False).stdout)["checks"]
    assert [(each["state"], each["found"][:11]) for each in checks if each["check"] == "GPUs"] == [
        ("ok", "16 readings")
    ]

    before = _everything(system)
    again = imported(system, path, *dcgm)
    assert (again["counted"], again["already_there"]) == (0, 16)
    assert _everything(system) == before


def test_gaps_are_billed_to_nobody_and_prices_change_with_time(system: Installation, tmp_path: Path) -> None:
    path = tmp_path / "scrape.txt"
    path.write_text(scrape())
    # 30 s, 10 minutes of silence, 30 s; and one second before the cheaper price and at it.
    for at in (NOON, "2026-07-01T12:10:30Z", "2026-07-01T23:59:59Z", "2026-07-02T00:00:29Z"):
        imported(system, path, "--format", "dcgm", "--at", at)
    gaps = "select gap_start, gap_ms from v_gpu_gaps where gpu_uuid = 'GPU-0' order by gap_start"
    assert [gap for _, gap in system.query(gaps)] == [600_000, 42_539_000]
    assert system.value("select count() from v_gpu_overlaps") == 0
    each = "select cost_usd from v_gpu_cost where gpu_uuid = 'GPU-2' order by ts"
    assert [usd for (usd,) in system.query(each)] == [Decimal("0.0375")] * 3 + [Decimal("0.025")]

    imported(system, path, "--format", "dcgm", "--at", "2026-07-01T12:00:10Z")
    twice = "select gpu_uuid, readings, overlap_ms from v_gpu_overlaps where gpu_uuid = 'GPU-2'"
    assert system.query(twice) == [("GPU-2", 1, 20_000)]

    at = now_us()
    sample = {"sampled_at": at, "interval_ms": 61_000, "declared_interval_ms": 30_000, "gpu_model": MODEL, "host": "n"}
    good = {**sample, "gpu_uuid": "B", "interval_ms": 60_000}
    poison = [
        {**sample, "gpu_uuid": "C", "sampled_at": at + 3_600_000_000},
        {**sample, "gpu_uuid": "D", "sm_active": 7.0},
        {**sample, "gpu_uuid": "E", "interval_ms": 0},
    ]
    records = [{**sample, "gpu_uuid": "A"}, good, good, *poison]
    system.publish("gpu-telemetry", [(r["gpu_uuid"].encode(), encode("GpuSample", r)) for r in records])
    system.publish("gpu-telemetry", [(b"x", b"not avro"), (b"y", encode("GpuSample", good)[:30])], partition=0)
    letters = "select arraySort(groupArray(reason)) from dead_letters final where topic = 'gpu-telemetry'"
    system.until(letters, lambda found: len(found) == 5)
    assert system.value(letters) == ["bad_interval", "bad_share", "clock", "undecodable", "undecodable"]
    system.until("select count() from gpu_samples where gpu_uuid in ('A', 'B')", lambda n: n == 2)
    assert system.value("select sum(gap_ms) from v_gpu_gaps where gpu_uuid = 'A'") == 61_000
    assert system.query("select gpu_uuid, cost_usd from v_gpu_cost where hostname = 'n'") == [("B", Decimal("0.05"))]


def test_killing_attribution_changes_nothing(system: Installation, tmp_path: Path) -> None:
    for i in range(3):
        path = tmp_path / f"{i}.txt"
        path.write_text(scrape() * 100)
        options = ("--format", "dcgm", "--at", f"2026-07-01T{10 + i}:00:00Z", "--no-wait")
        imported(system, path, *options)
        imported(system, path, *options)
        system.until("select count() from gpu_samples", lambda n, least=i: n > 400 * least)
        system.service("attribution").kill9()
        system.service("attribution").start()
    system.until("select count() from gpu_samples final", lambda n: n == 1_200)
    assert system.value("select sum(cost_usd) from v_gpu_cost") == 75 * SOURCE
    whole = "select count(), sum(cost_usd), sum(length(shares.kind)) from gpu_costs final"
    assert system.query(whole)[0] == (1_200, 75 * SOURCE, 3_300)


def test_tokens_and_gpus_meet_in_one_view(system: Installation, tmp_path: Path) -> None:
    at = now_us() // DAY_US * DAY_US - DAY_US // 2  # yesterday noon: rows are summed by day
    table = ["gpu_uuid,sampled_at,interval_ms,gpu_model,host,team,service,sm_share"]
    for i in range(4):
        moment = f"{at + i * 900_000_000}"
        table.append(f"GPU-9,{_rfc3339(int(moment))},900000,H100 80GB HBM3,n9,search,ranker,0.25")
    path = tmp_path / "gpu.csv"
    path.write_text("\n".join(table))
    assert imported(system, path)["counted"] == 4
    calls = [
        usage(
            f"t-{i}", provider="vllm", model="llama-4-maverick", occurred_at=at, input_tokens=4_000, output_tokens=1_000
        )
        for i in range(100)
    ]
    system.publish("usage", [message(call) for call in calls])
    system.until("select count() from v_cost", lambda n: n == 100)
    system.until("select count() from prices", lambda n: n >= 4)
    [row] = system.query(
        "select sum(allocated_hours), sum(used_hours), sum(allocated_usd), sum(used_usd), sum(waste_usd),"
        " any(effective_usd_per_hour), sum(input_tokens), sum(api_usd),"
        " 1e6 * toFloat64(sum(allocated_usd)) / sum(input_tokens + output_tokens)"
        " from v_gpu_efficiency where service = 'ranker'"
    )
    price = Decimal("3.00")
    assert row[0:2] == (1.0, 0.25)
    assert row[2:5] == (price, price / 4, price * 3 / 4)
    assert row[5] == pytest.approx(12.0)
    assert row[6] == 400_000
    assert row[7] == pytest.approx(0.4 * 0.22 + 0.1 * 0.85)
    assert row[8] == pytest.approx(6.0)

    period = f"{_rfc3339(at)[:10]}..{_rfc3339(at + 2_700_000_000)[:10]}"
    report = json.loads(system.run("report", "gpu", "--period", period, "--by", "gpu_model,team", "--json").stdout)
    [line] = report["rows"]
    assert (line["team"], Decimal(line["cost_usd"]), Decimal(line["waste_usd"])) == ("search", price, price * 3 / 4)
    assert (line["usd_per_hour"], line["effective_usd_per_hour"]) == (3.0, 12.0)
    rates = [line[f"{name}usd_per_million_tokens"] for name in ("used_", "", "api_")]
    assert rates == pytest.approx([1.5, 6.0, 0.346])
    assert "total 3.000000000000 USD" in system.run("report", "gpu", "--period", period).stdout


def _rfc3339(micros: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()


def _everything(system: Installation) -> list[Any]:
    samples = system.query("select gpu_uuid, ts, interval_ms, offset from gpu_samples final order by all")
    costs = system.query(
        "select gpu_uuid, ts, revision, shares.kind, shares.team, shares.cost_usd, superseded_at from gpu_costs final"
        " order by all"
    )
    return [*samples, *costs]


def test_a_partition_of_nothing_but_rejects_stands_still_and_says_so(installation: Installation) -> None:
    installation.service("attribution").start()
    bad = {"sampled_at": now_us(), "interval_ms": 0, "gpu_model": MODEL, "host": "n"}
    records = [encode("GpuSample", {**bad, "gpu_uuid": f"bad-{i}"}) for i in range(1_500)]
    installation.publish("gpu-telemetry", [(b"bad", value) for value in records], partition=1)
    firing = "select title from alerts final where name = 'mass_rejection' and scope['topic'] = 'gpu-telemetry'"
    installation.until(f"select count() from ({firing})", lambda n: n == 1)
    assert "gpu-telemetry/1 stands still" in installation.value(firing)
    assert installation.value("select count() from dead_letters") == 0
