"""What the GPU views say of small tables whose answers can be worked out by hand."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spendstream.runtime.clickhouse.client import connect
from tests.support.installation import Installation

pytestmark = pytest.mark.embedded
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
USED_AT = {"all": Decimal(1), "quarter": Decimal("0.25"), "tenth": Decimal("0.1")}


def put(system: Installation, table: str, *rows: Mapping[str, Any]) -> None:
    for row in rows:
        connect(system.settings).insert(table, [list(row.values())], column_names=list(row))


def hour(service: str, used: Decimal, ts: datetime = NOON) -> dict[str, Any]:
    """An hour of an H100 at $4.00 that `service` had and used so much of."""
    return {
        "org": "default", "gpu_uuid": f"GPU-{service}", "ts": ts, "interval_ms": 3_600_000, "gpu_model": "H100",
        "status": "priced", "fraction": 1.0, "cost_usd": Decimal(4), "shares.kind": ["used", "idle_owner"],
        "shares.team": ["search"] * 2, "shares.service": [service] * 2, "shares.share": [float(used), float(1 - used)],
        "shares.cost_usd": [4 * used, 4 - 4 * used],
    }  # fmt: skip


def call(name: str, ts: datetime, tokens_in: int, tokens_out: int, **fields: Any) -> dict[str, Any]:
    return {
        "org": "default", "event_id": name, "ts": ts, "team": "search", "service": "quarter", "provider": "vllm",
        "model": "llama", "category": "compute_inference", "status": "priced", "requests": 1,
        "input_tokens": tokens_in, "output_tokens": tokens_out, "offset": ord(name), **fields,
    }  # fmt: skip


def offer(
    provider: str, usd_in: str, usd_out: str, starts: datetime, revision: int = 1, end: str = ""
) -> dict[str, Any]:
    """A Price document of the model, as it stands in the table `prices`."""
    tokens = f'{{"input":{{"$decimal":"{usd_in}"}},"output":{usd_out}}}'
    until = f',"effective_to":"{end}"' if end else ""
    return {
        "org": "default", "name": f"{provider}/llama", "effective_from": starts, "revision": revision,
        "known_at": NOON, "author": "", "control_offset": revision,
        "spec": f'{{"provider":"{provider}","model":"llama","usd_per_million_tokens":{tokens}{until}}}',
    }  # fmt: skip


def test_a_gpu_at_4_dollars_costs_4_16_and_40_an_hour_of_work_and_tokens_are_compared_at_the_prices_of_their_time(
    installation: Installation,
) -> None:
    put(installation, "gpu_costs", *(hour(service, used) for service, used in USED_AT.items()))
    # Two million tokens before noon and two after; an API was dearer before noon, and another one is dearer throughout.
    put(
        installation, "charges", call("a", NOON - timedelta(minutes=1), 1_000_000, 1_000_000),
        call("b", NOON, 1_000_000, 1_000_000), call("c", NOON, 500, 500, service="tenth", model="unheard-of"),
    )  # fmt: skip
    january, deleted = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    put(
        installation, "prices", offer("meta", "0.30", "1", january), offer("meta", "0.20", "1", january, revision=2),
        offer("meta", "0.1", "0", NOON), offer("dear", "9.5", "9", january),
        offer("ended", "0.000001", "0", january, end="2026-07-01T11:00:00Z"), offer("gone", "0.01", "0", deleted),
        offer("vllm", "0.0", "0", january), offer("later", "0.01", "0", NOON + timedelta(days=1)),
    )  # fmt: skip
    gone = f"gone/llama/{int(deleted.timestamp())}000000/1"
    put(
        installation,
        "audit_log",
        {"control_offset": 9, "org": "default", "kind": "Price", "name": gone, "action": "delete"},
    )

    columns = "allocated_usd, used_usd, waste_usd, round(usd_per_hour, 9), round(effective_usd_per_hour, 9)"
    by_service = {row[0]: row[1:] for row in installation.query(f"select service, {columns} from v_gpu_efficiency")}
    assert by_service == {
        service: (4, 4 * used, 4 - 4 * used, 4.0, float(4 / used)) for service, used in USED_AT.items()
    }
    tokens = (
        "select priced_million_tokens, used_usd_per_million_tokens, allocated_usd_per_million_tokens, api_usd,"
        " round(api_usd_per_million_tokens, 9) from v_gpu_efficiency where service = '{}'"
    )
    # $1.20 by the second revision of meta's price before noon, $0.10 after: for four million tokens.
    assert installation.query(tokens.format("quarter")) == [(4.0, 0.25, 1.0, pytest.approx(1.3), 0.325)]
    assert installation.query(tokens.format("tenth"))[0][3:] == (None, None)
    moments = "toUnixTimestamp64Milli(starts), toUnixTimestamp64Milli(ends)"
    offers = f"select name, {moments} from v_api_prices where provider = '{{}}'"
    since, noon = (int(moment.timestamp()) * 1_000 for moment in (january, NOON))
    assert installation.query(offers.format("ended")) == [("ended/llama", since, noon - 3_600_000)]
    assert sorted(installation.query(offers.format("meta")))[0] == ("meta/llama", since, noon)


def test_slices_that_report_more_than_their_device_overlap_and_a_change_of_layout_does_not(
    installation: Installation,
) -> None:
    def slice_of(device: str, name: str, ends_after_s: int, fraction: float, interval_s: int = 30) -> dict[str, Any]:
        return {
            "org": "default", "gpu_uuid": name, "device_uuid": device, "ts": NOON + timedelta(seconds=ends_after_s),
            "interval_ms": interval_s * 1_000, "declared_interval_ms": interval_s * 1_000, "fraction": fraction,
        }  # fmt: skip

    before = [slice_of("A", f"A-{i}", 30, 1 / 7) for i in range(7)]
    after = [slice_of("A", f"A-{i}", 60, fraction) for i, fraction in ((8, 3 / 7), (9, 4 / 7))]
    too_soon = [slice_of("B", "B-1", 30, 4 / 7), slice_of("B", "B-2", 30, 3 / 7), slice_of("B", "B-3", 40, 1 / 7)]
    both = [slice_of("C", "C", 30, 1.0), slice_of("C", "C-1", 30, 0.5)]
    put(installation, "gpu_samples", *before, *after, *too_soon, *both)
    found = installation.query("select gpu_uuid, day, overlap_ms from v_gpu_overlaps order by all")
    assert found == [("B", NOON.date(), 2_857), ("C", NOON.date(), 15_000)]


def test_the_export_of_a_month_that_has_ended_is_amended_and_never_changed(installation: Installation) -> None:
    """Rated in July, corrected in July (in the charge), in August, and taken back in September."""
    days = [datetime(2026, month, 15, tzinfo=UTC) for month in (7, 7, 8, 9)]
    never = datetime(1970, 1, 1, tzinfo=UTC)
    for revision, (known, superseded, usd) in enumerate(
        zip(days, [*(day + timedelta(minutes=revision > 0) for revision, day in enumerate(days[1:])), never],
            (4, 3, 2, 0), strict=True)
    ):  # fmt: skip
        row = hour("quarter", Decimal("0.25"), datetime(2026, 7, 10, 12, tzinfo=UTC))
        row |= {"cost_usd": Decimal(usd), "shares.cost_usd": [Decimal(usd) / 4, Decimal(usd) * 3 / 4]}
        row |= {"revision": revision, "rated_at": days[0], "known_at": known, "superseded_at": superseded}
        put(installation, "gpu_costs", {**row, "status": "priced" if usd else "unpriced"})
    rows = installation.query(
        "select toMonth(BillingPeriodStart) as month, x_Kind, ChargeClass, sum(BilledCost), sum(PricingQuantity)"
        " from v_focus where x_Source = 'gpu' group by all order by month, x_Kind"
    )
    assert rows == [
        (7, "charge", None, 3, 1), (8, "restatement", "Correction", 2, 1), (8, "reversal", "Correction", -3, -1),
        (9, "reversal", "Correction", -2, -1),
    ]  # fmt: skip
    assert installation.value("select sum(cost_usd) from v_gpu_cost") == 0
