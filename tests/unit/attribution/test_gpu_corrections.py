"""Taking corrections of GPU readings in: which count, what they add, and that nothing that was there changes."""

from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from spendstream.attribution.gpu.corrections import corrected, corrections
from spendstream.attribution.gpu.rows import Rated, cost_table
from spendstream.runtime.kafka.consume import Run
from spendstream.schemas import encode
from tests.contract.runs import Record
from tests.unit.domain.gpu_support import HOUR_MS, USD, book, price, rated, reading

BEFORE = {
    "revision": (pa.uint32(), 0), "status_before": (pa.string(), ""), "price_id_before": (pa.string(), ""),
    "cost_before_usd": (pa.decimal128(38, 12), Decimal(0)), "run_id": (pa.string(), ""), "reason": (pa.string(), ""),
    "known_at": (pa.timestamp("us", "UTC"), 7), "superseded_at": (pa.timestamp("us", "UTC"), 0),
}  # fmt: skip


def standing(*moments: int, **fields: Any) -> pa.Table:
    """Hours of the $4 device, a third of each used, as they were rated first."""
    samples = [reading({"team": "search", "sm_share": 1 / 3}, sampled_at=at, **fields) for at in moments]
    event = {"labels": {}, "throttle_reasons": None}
    rows = cost_table([Rated(event, rated(each, book(prices=[price("4.00")])), 1, "i", 0, 0, 0) for each in samples])
    for name, (kind, value) in BEFORE.items():
        rows = rows.append_column(name, pa.array([value] * len(moments), kind))
    return rows


def correction(*readings: tuple[int, int], usd: int = 3, **fields: Any) -> bytes:
    """A record that gives readings (moment, revision) another price per hour."""
    return encode("GpuCorrection", {
        "gpu_uuid": "GPU-1", "run_id": "r", "reason": "reprice", "known_at": 99, "status_after": "priced",
        "price_id_after": f"p#{usd}", "hourly_price_pico_usd": usd * USD,
        "readings": [{"sampled_at": at, "revision": revision} for at, revision in readings], **fields,
    })  # fmt: skip


def wanted(*values: bytes) -> pl.DataFrame:
    return corrections(Run("gpu-corrections", 0, [Record(i, value) for i, value in enumerate(values)]))


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """Moment, revision, cost, parts, and whether it still counts."""
    names = ("revision", "cost_usd", "shares.cost_usd")
    return sorted(
        (row["ts"].timestamp(), *(row[name] for name in names), not row["superseded_at"].timestamp())
        for row in table.to_pylist()
    )


THIRD, REST = Decimal("1.333333333333"), Decimal("2.666666666667")


def test_a_correction_closes_the_row_there_is_and_adds_one_that_adds_up() -> None:
    before = standing(1_000_000)
    added = corrected(before, wanted(correction((1_000_000, 1))))
    assert rows(added) == [
        (1.0, 0, Decimal(4), [THIRD, REST], False), (1.0, 1, Decimal(3), [Decimal(1), Decimal(2)], True),
    ]  # fmt: skip
    closed, new = added.to_pylist()
    kept = {name: value for name, value in before.to_pylist()[0].items() if name != "superseded_at"}
    assert {name: closed[name] for name in kept} == kept
    assert closed["superseded_at"] == new["known_at"] and new["price_id"] == "p#3"
    assert (new["status_before"], new["cost_before_usd"], new["run_id"]) == ("priced", Decimal(4), "r")
    assert {name: new[name] for name in ("shares.weight", "shares.team", "interval_ms", "control_offset")} == {
        name: kept[name] for name in ("shares.weight", "shares.team", "interval_ms", "control_offset")
    }


@pytest.mark.parametrize(
    "void",
    [
        correction((1_000_000, 0)),  # the revision there is
        correction((2_000_000, 1)),  # no such reading
        correction((1_000_000, 1), org="acme"),
        correction(),
    ],
)
def test_what_makes_no_next_revision_of_a_reading_that_is_there_adds_nothing(void: bytes) -> None:
    assert corrected(standing(1_000_000), wanted(void)).num_rows == 0


def test_an_amount_beyond_64_bits_adds_nothing() -> None:
    month = standing(1_000_000, interval_ms=30 * 24 * HOUR_MS)
    absurd = wanted(correction((1_000_000, 1), hourly_price_pico_usd=2**62))
    assert corrected(month, absurd).num_rows == 0


def test_corrections_are_read_in_the_order_of_the_log_and_what_cannot_be_read_is_left_out() -> None:
    found = wanted(correction((5, 1), (6, 1)), b"not ours", correction((5, 1), usd=9), correction((5, 2), usd=7))
    assert found.select("place", "sampled_at", "revision", "price_id_after").rows() == [
        (0, 5, 1, "p#3"), (1, 6, 1, "p#3"), (2, 5, 1, "p#9"), (3, 5, 2, "p#7"),
    ]  # fmt: skip


def test_a_price_that_is_gone_leaves_shares_without_cost() -> None:
    gone = correction((1_000_000, 1), status_after="unpriced", unpriced_reason_after="model", price_id_after="",
                      hourly_price_pico_usd=0)  # fmt: skip
    _, new = corrected(standing(1_000_000), wanted(gone)).to_pylist()
    assert (new["status"], new["unpriced_reason"], new["cost_usd"]) == ("unpriced", "model", 0)
    assert new["shares.cost_usd"] == [0, 0] and new["shares.share"] == pytest.approx([1 / 3, 2 / 3])
