"""Laws of corrections: a charge and its corrections are what the newest book says, and nothing is said twice."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain.corrections import Revisions, Summary, differences, improvements
from spendstream.domain.prices import STATUSES, ModelPrice, PriceBook, PriceRevision, Rates
from spendstream.domain.tokens import REPORTED, normalise

BOUNDED = settings(deadline=None, max_examples=60)
COUNTS = ("priced_events", "partial_events", "unpriced_events")

prices = st.dictionaries(
    st.sampled_from(["small", "large"]),
    st.dictionaries(st.sampled_from(["input", "output", "audio_input"]), st.integers(0, 5), min_size=1),
)
calls = st.lists(
    st.fixed_dictionaries(
        {
            "model": st.sampled_from(["small", "large", "nobody-knows-this"]), "input_tokens": st.integers(0, 9),
            "output_tokens": st.integers(0, 9), "audio_input_tokens": st.integers(0, 3), "cache_hit": st.booleans(),
        }
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def book(of_models: dict[str, dict[str, int]]) -> PriceBook:
    documents = [PriceRevision(name, ModelPrice("test", name, Rates(rates))) for name, rates in of_models.items()]
    return PriceBook.build(documents, None)


def usage(found: Sequence[dict[str, Any]]) -> pl.DataFrame:
    rest = {"org": "default", "team": "t", "provider": "test", "service_tier": "standard", "region": "",
            "occurred_at": 0, "requests": 1, "convention": "disjoint"}  # fmt: skip
    return pl.DataFrame([{**dict.fromkeys(REPORTED, 0), **rest, **call} for call in found])


def charged(events: pl.DataFrame, by: PriceBook) -> pl.DataFrame:
    """Events as charges that were rated by a book."""
    rated = by.rate(events, normalise(events))
    return events.with_columns(
        rated.price_id.series("price_id"),
        pl.Series("cost_pico_usd", rated.cost_pico_usd),
        pl.Series("status", [STATUSES[code] for code in rated.status]),
        pl.int_range(pl.len()).alias("source_offset"),
        pl.lit(0, dtype=pl.Int64).alias("revision"),
    )


def changed(charges: pl.DataFrame, by: PriceBook) -> pl.DataFrame:
    return differences(charges, by.rate(charges, normalise(charges)))


def corrected(charges: pl.DataFrame, corrections: pl.DataFrame) -> pl.DataFrame:
    """Charges as they stand after their corrections."""
    after = corrections.select(
        "source_offset", pl.col("cost_pico_usd").alias("added"), "status_after", "price_id_after",
        pl.col("revision").alias("now"),
    )  # fmt: skip
    both = charges.join(after, on="source_offset", how="left", maintain_order="left")
    return both.with_columns(
        pl.col("cost_pico_usd") + pl.col("added").fill_null(0),
        pl.coalesce("status_after", "status").alias("status"),
        pl.coalesce("price_id_after", "price_id").alias("price_id"),
        pl.coalesce("now", "revision").alias("revision"),
    ).drop("added", "status_after", "price_id_after", "now")


@BOUNDED
@given(calls, st.lists(prices, min_size=2, max_size=4))
def test_a_charge_and_its_corrections_are_what_the_newest_book_says(
    found: list[dict[str, Any]], books: list[dict[str, dict[str, int]]]
) -> None:
    first, *later = [book(each) for each in books]
    charges = charged(usage(found), first)
    for n, newer in enumerate(later, 1):
        changes = changed(charges, newer)
        assert changes["revision"].to_list() == [
            revision + 1 for revision in charges[changes["source_offset"].to_list()]["revision"]
        ]
        charges = corrected(charges, changes)
        expected = charged(usage(found), newer)
        assert charges.select("cost_pico_usd", "status").equals(expected.select("cost_pico_usd", "status"))
        assert changed(charges, newer).is_empty(), "given twice, the second changes nothing"
        assert charges["revision"].max() <= n  # type: ignore[operator]


@BOUNDED
@given(calls, prices, prices)
def test_counts_of_statuses_move_as_the_charges_do(
    found: list[dict[str, Any]], before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]
) -> None:
    charges = charged(usage(found), book(before))
    changes = changed(charges, book(after))
    assert changes.select(pl.sum_horizontal(COUNTS)).to_series().to_list() == [0] * changes.height
    expected = charged(usage(found), book(after))
    for name, count in zip(STATUSES, COUNTS, strict=False):
        moved = (expected["status"] == name).sum() - (charges["status"] == name).sum()
        assert changes[count].sum() == moved


@BOUNDED
@given(calls, prices, prices)
def test_only_what_lacked_a_price_improves_and_never_gets_worse(
    found: list[dict[str, Any]], before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]
) -> None:
    charges = charged(usage(found), book(before))
    better = improvements(changed(charges, book(after)))
    turns = set(better.select("status_before", "status_after").rows())
    assert turns <= {("unpriced", "priced"), ("unpriced", "partial"), ("partial", "priced")}
    everything = changed(charges, book(after))
    lacking = everything.filter((pl.col("status_before") != "priced") & (pl.col("status_after") == "priced"))
    assert lacking.height == better.filter(pl.col("status_after") == "priced").height


@BOUNDED
@given(calls, prices, prices, st.integers(1, 11))
def test_the_summary_is_exact_however_the_charges_are_chunked(
    found: list[dict[str, Any]], before: dict[str, dict[str, int]], after: dict[str, dict[str, int]], cut: int
) -> None:
    charges = charged(usage(found), book(before))
    changes = changed(charges, book(after))
    summary = Summary()
    for part in (changes[:cut], changes[cut:]):
        summary.add(part)
    assert summary.total == (
        changes.height, changes["cost_before_pico_usd"].sum(), changes["cost_pico_usd"].sum(),
    )  # fmt: skip
    assert sum(group.events for group in summary.groups()) == changes.height
    assert all(group.after == group.before + group.delta for group in summary.groups())


def test_a_summary_goes_beyond_64_bits() -> None:
    row = {"org": "o", "provider": "p", "model": "m", "team": "t", "status_before": "priced", "status_after": "priced",
           "price_id_before": "a", "price_id_after": "b", "cost_before_pico_usd": 9 * 10**18,
           "cost_pico_usd": -9 * 10**18}  # fmt: skip
    summary = Summary()
    summary.add(pl.DataFrame([row] * 3))
    assert summary.total == (3, 27 * 10**18, -27 * 10**18)


corrections = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=40)


def log_of(found: Sequence[tuple[int, int]]) -> pl.DataFrame:
    rows = [
        {"incarnation": "i", "source_partition": 0, "source_offset": charge, "item": -1, "revision": revision, "at": at}
        for at, (charge, revision) in enumerate(found)
    ]
    numbers = ("source_partition", "source_offset", "item", "revision", "at")
    return pl.DataFrame(rows, schema={"incarnation": pl.String, **dict.fromkeys(numbers, pl.Int64)})


@BOUNDED
@given(corrections, st.lists(st.integers(0, 40), max_size=5), st.booleans())
def test_each_revision_of_a_charge_counts_once_wherever_the_log_is_cut(
    found: list[tuple[int, int]], cuts: list[int], restarted: bool
) -> None:
    expected, last = list[int](), dict[int, int]()
    for at, (charge, revision) in enumerate(found):
        if revision > last.get(charge, 0):
            last[charge] = revision
            expected.append(at)
    revisions, accepted, log = Revisions(), list[int](), log_of(found)
    places = sorted({0, len(found), *(min(cut, len(found)) for cut in cuts)})
    for start, end in pairwise(places):
        accepted += revisions.accept(log[start:end])["at"].to_list()
        if restarted:
            again = Revisions()
            again.restore(revisions.snapshot())
            revisions = again
    assert accepted == expected
    assert revisions.accept(log).is_empty()
    assert len(revisions) == len(last)
