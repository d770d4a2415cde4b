"""History of GPU cost moves only by visible corrections: found by a repair or asked for, each counting once."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.corrections import tell
from tests.support.installation import Installation
from tests.support.usage import now_us

pytestmark = pytest.mark.embedded
PERIOD = ("--from", "2026-07-01", "--to", "2026-07-02")
HEADER = "gpu_uuid,sampled_at,interval_ms,gpu_model,host,team,service,sm_share,fraction,fraction_from"
#: Cost of everything, by whoever says it.
SAID = {
    "v_gpu_cost": "select sum(cost_usd) from v_gpu_cost",
    "v_gpu_efficiency": "select sum(allocated_usd) from v_gpu_efficiency",
    "v_source_gpu": "select sum(cost_usd) from v_source_gpu",
}
#: Readings that do not cost what their shares cost, or whose shares are not the device.
UNEQUAL = """select count() from gpu_costs final
where cost_usd != arraySum(shares.cost_usd) or abs(arraySum(shares.share) - fraction) > 1e-9"""
LIVE_REVISIONS = """select count() from (select countIf(superseded_at = 0) as live from gpu_costs final
group by org, gpu_uuid, ts having live != 1)"""


def price(usd: str, gpu: str = "X1", start: str = "2026-01-01") -> str:
    return (
        f"kind: Price\nname: gpu/{gpu.lower()}\n"
        f"spec: {{gpu: {gpu}, usd_per_hour: {usd}, effective_from: {start}T00:00:00Z}}\n"
    )


def readings(count: int, uuid: str = "GPU-1", gpu: str = "X1") -> list[str]:
    """Half minutes from noon: a third of the device worked for search, the rest of it search left idle."""
    return [
        f"{uuid},2026-07-01T{12 + i // 120:02}:{i // 2 % 60:02}:{i % 2 * 30:02}Z,30000,{gpu},n,search,ranker,0.333333,,"
        for i in range(count)
    ]


def bring(system: Installation, folder: Path, rows: list[str]) -> None:
    path = folder / "gpu.csv"
    path.write_text("\n".join([HEADER, *rows]))
    found = json.loads(system.run("import", "gpu", str(path), "--json").stdout)
    assert found["counted"] == found["readings"] > 0


def said(system: Installation) -> set[Decimal]:
    return {system.value(sql) for sql in SAID.values()}


def as_known(system: Installation, moment: Any) -> tuple[Any, ...]:
    sums = "sum(cost_usd), countIf(status = 'unpriced'), round(sum(share), 6)"
    return tuple(system.query(f"select {sums} from v_gpu_cost_as_known(known_at = '{moment}')")[0])


@pytest.fixture
def system(installation: Installation, tmp_path: Path) -> Installation:
    installation.service("attribution").start()
    tell(installation, tmp_path, price("4.00"))
    return installation


def test_a_changed_price_moves_the_past_only_by_reprice_and_only_once(system: Installation, tmp_path: Path) -> None:
    # Seven slices of a device say where they begin, so they add up to it; 241 is no multiple of anything.
    slices = [f"MIG-{i},2026-07-01T13:00:00Z,241,X1,n,lab,,1,{1 / 7},{i / 7}" for i in range(7)]
    bring(system, tmp_path, [*readings(300), *slices])
    whole = 300 * Decimal(4) * 30 / 3600 + Decimal("0.000267777778")
    assert abs(said(system).pop() - whole) < Decimal("1e-9")
    slices_cost = "select sum(cost_usd) from v_gpu_cost where gpu_uuid like 'MIG-%'"
    assert system.value(slices_cost) == Decimal("0.000267777778")
    before, cost_before = system.value("select now64(6)"), said(system)

    tell(system, tmp_path, price("3.21"))
    diff = json.loads(system.run("reprice", *PERIOD, "--json").stdout)["gpu"]
    assert (diff["examined"], diff["changed"], diff["published"]) == (307, 307, 0)
    assert {Decimal(diff["before_usd"])} == cost_before == said(system)
    groups = {(group["team"], group["kind"]): group for group in diff["groups"]}
    assert sorted(groups) == [("lab", "used"), ("search", "idle_owner"), ("search", "used")]
    used = groups["search", "used"]
    assert used["gpu_hours"] == pytest.approx(2.5 * 0.333333)
    assert (used["price_id_before"][-1], used["price_id_after"][-1]) == ("1", "2")
    assert sum(Decimal(group["delta_usd"]) for group in diff["groups"]) == Decimal(diff["delta_usd"]) < 0

    applied = json.loads(system.run("reprice", *PERIOD, "--apply", "--json").stdout)["gpu"]
    assert (applied["published"], applied["run_id"], applied["groups"]) == (307, diff["run_id"], diff["groups"])
    assert said(system) == {Decimal(diff["after_usd"])}
    assert system.value(slices_cost) == Decimal("0.000214891667")  # 3.21 × 241 ms, rounded once
    assert (system.value(UNEQUAL), system.value(LIVE_REVISIONS)) == (0, 0)
    teams = "select team, kind, sum(cost_usd) from v_gpu_cost group by team, kind order by team, kind"
    assert {(team, kind): usd for team, kind, usd in system.query(teams)} == {
        key: Decimal(group["after_usd"]) for key, group in groups.items()
    }

    again = json.loads(system.run("reprice", *PERIOD, "--apply", "--json").stdout)["gpu"]
    assert (again["examined"], again["changed"], again["published"]) == (307, 0, 0)
    assert system.query("select count(), max(revision), sum(added_usd) from v_gpu_corrections")[0] == (
        307, 1, Decimal(diff["delta_usd"]),
    )  # fmt: skip
    assert system.query("select distinct reason, run_id, status_before from v_gpu_corrections") == [
        ("reprice", diff["run_id"], "priced")
    ]
    assert as_known(system, before) == (*cost_before, 0, 301)
    assert as_known(system, "2100-01-01") == (Decimal(diff["after_usd"]), 0, 301)
    assert as_known(system, "2020-01-01") == (0, 0, 0)

    table = system.run("reprice", *PERIOD, "--only", "gpu").stdout
    assert "nothing changes" in table and "charges" not in table
    nothing = json.loads(system.run("reprice", *PERIOD, "--gpu-model", "Y2", "--json").stdout)
    assert (nothing["gpu"]["examined"], "examined" in nothing) == (0, False)
    refused = system.run("reprice", *PERIOD, "--only", "usage", "--gpu-model", "X1", check=False)
    assert refused.returncode == 2 and "--only says otherwise" in refused.stderr


def test_readings_without_a_price_are_completed_by_corrections_and_stay_visible_as_they_were(
    system: Installation, tmp_path: Path
) -> None:
    bring(system, tmp_path, [*readings(40, "GPU-1", "B9"), *readings(10, "GPU-2", "X1"), *readings(3, "GPU-3", "Y2")])
    assert system.query("select gpu_model, samples from v_gpu_unpriced order by all") == [("B9", 40), ("Y2", 3)]
    alert = "select any(state) from v_alerts where name = 'unpriced_gpu' and scope['gpu_model'] = 'B9'"
    system.until(alert, lambda state: state == "firing")
    before = system.value("select now64(6)")
    known_then = as_known(system, before)

    tell(system, tmp_path, price("7.00", "B9"))
    system.until("select countIf(gpu_model = 'B9') from v_gpu_unpriced", lambda n: n == 0)
    system.until(alert, lambda state: state == "resolved")
    expected = 40 * Decimal("0.058333333333") + 10 * Decimal("0.033333333333")
    assert said(system) == {expected}
    assert system.query("select reason, status_before, status_after, price_id_before, count() from v_gpu_corrections"
                        " group by all") == [("repair", "unpriced", "priced", "", 40)]  # fmt: skip
    assert (system.value(UNEQUAL), system.value(LIVE_REVISIONS)) == (0, 0)
    assert as_known(system, before) == known_then == (10 * Decimal("0.033333333333"), 86, 53)
    # Nothing that was there is gone or other than it was; only the moment it stopped counting is said of it.
    first = "select count(), sum(cost_usd), countIf(superseded_at != 0) from gpu_costs final where revision = 0"
    assert system.query(first)[0] == (53, 10 * Decimal("0.033333333333"), 40)

    # A price that is taken back leaves the readings without one again, when somebody asks for it.
    system.run("delete", "Price/gpu/b9")
    gone = json.loads(system.run("reprice", *PERIOD, "--only", "gpu", "--apply", "--json").stdout)["gpu"]
    assert (gone["changed"], gone["groups"][0]["status_after"]) == (40, "unpriced")
    assert said(system) == {10 * Decimal("0.033333333333")}
    assert system.query("select gpu_model, samples from v_gpu_unpriced order by all") == [("B9", 40), ("Y2", 3)]
    assert system.query("select max(revision), countIf(revision = 2) from gpu_costs final")[0] == (2, 40)


def test_a_correction_that_is_said_twice_or_too_late_is_void(system: Installation, tmp_path: Path) -> None:
    from spendstream.schemas import encode

    bring(system, tmp_path, readings(3))
    at = 1_782_907_200_000_000  # 2026-07-01T12:00:00Z
    first = {
        "gpu_uuid": "GPU-1", "run_id": "r-1", "reason": "reprice", "known_at": now_us(), "status_after": "priced",
        "price_id_after": "p#1", "hourly_price_pico_usd": 8 * 10**12,
        "readings": [{"sampled_at": at, "revision": 1}, {"sampled_at": at + 30_000_000, "revision": 1}],
    }  # fmt: skip
    other = {**first, "run_id": "r-2", "hourly_price_pico_usd": 10**12, "price_id_after": "p#2"}
    second = {
        **other,
        "run_id": "r-3",
        "readings": [{"sampled_at": at, "revision": 2}, {"sampled_at": 1, "revision": 1}],
    }
    records = [first, other, first, second, other, {**first, "readings": []}]
    system.publish("gpu-corrections", [(b"GPU-1", encode("GpuCorrection", each)) for each in records])
    system.publish("gpu-corrections", [(b"GPU-1", b"not ours")])
    system.until("select count() from v_gpu_corrections where run_id = 'r-3'", lambda n: n == 1)
    revisions = "select run_id, revision, toFloat64(cost_usd) from gpu_costs final order by ts, revision"
    assert system.query(revisions) == [
        ("", 0, pytest.approx(4 / 120)), ("r-1", 1, pytest.approx(8 / 120)), ("r-3", 2, pytest.approx(1 / 120)),
        ("", 0, pytest.approx(4 / 120)), ("r-1", 1, pytest.approx(8 / 120)), ("", 0, pytest.approx(4 / 120)),
    ]  # fmt: skip
    assert (system.value(UNEQUAL), system.value(LIVE_REVISIONS)) == (0, 0)


def test_an_interrupted_run_is_finished_by_giving_it_again(system: Installation, tmp_path: Path) -> None:
    bring(system, tmp_path, [row for uuid in ("GPU-1", "GPU-2") for row in readings(700, uuid)])
    tell(system, tmp_path, price("2.00"))
    attribution = system.service("attribution")
    attribution.kill9()
    cut_short = system.run("reprice", *PERIOD, "--only", "gpu", "--apply", "--timeout", "1", check=False)
    assert cut_short.returncode == 3 and "give the same command again" in cut_short.stderr

    attribution.start()
    system.until("select count() from v_gpu_corrections", lambda n: n > 0)
    attribution.kill9()
    attribution.start()
    again = json.loads(system.run("reprice", *PERIOD, "--only", "gpu", "--apply", "--json").stdout)["gpu"]
    assert (again["examined"], again["published"]) == (1_400, 0)
    assert said(system) == {1_400 * Decimal("0.016666666667")}
    assert (system.value(UNEQUAL), system.value(LIVE_REVISIONS)) == (0, 0)
    assert system.query("select count(), max(revision) from v_gpu_corrections")[0] == (1_400, 1)
