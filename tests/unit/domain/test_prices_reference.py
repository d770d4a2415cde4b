"""The vectorised book against a slow, obvious one: plain integers and fractions, a row at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from spendstream.domain.prices import (
    CLASSES,
    STATUSES,
    UNPRICED_REASONS,
    ContextTier,
    ModelPrice,
    PriceBook,
    PriceRevision,
    Rated,
    Rates,
    ServiceTier,
)
from spendstream.domain.tokens import BUCKETS, INPUT_BUCKETS, REJECT_REASONS, REPORTED, normalise

SCHEMA = {
    **dict.fromkeys(("provider", "model", "service_tier", "region", "convention"), pl.String),
    **dict.fromkeys((*REPORTED, "requests", "occurred_at"), pl.Int64),
    "cache_hit": pl.Boolean,
}
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(REPORTED, 0),
    **{"provider": "p", "model": "m", "service_tier": None, "region": None, "convention": "disjoint"},
    **{"requests": 1, "occurred_at": 0, "cache_hit": False},
}


def frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Usage records as a batch; what a row leaves out is zero, null or one request of provider p's model m."""
    return pl.DataFrame([DEFAULTS | dict(row) for row in rows], schema=SCHEMA)


@dataclass(frozen=True)
class Bill:
    """One row of a Rated, in words."""

    cost_pico_usd: int
    status: str
    unpriced_reason: str
    reject_reason: str
    provider: str
    model: str
    tier: str
    price_id: str


def bills(rated: Rated) -> list[Bill]:
    """A Rated, row by row."""
    return [
        Bill(
            int(rated.cost_pico_usd[i]),
            STATUSES[rated.status[i]],
            UNPRICED_REASONS[rated.unpriced_reason[i]],
            REJECT_REASONS[rated.reject_reason[i]],
            *(column.values[column.codes[i]] for column in (rated.provider, rated.model, rated.tier, rated.price_id)),
        )
        for i in range(len(rated.status))
    ]


def rate(book: PriceBook, *rows: Mapping[str, Any]) -> list[Bill]:
    """Normalise and rate a batch of `rows`."""
    usage = frame(rows)
    return bills(book.rate(usage, normalise(usage)))


# The reference ----------------------------------------------------------------------------------------------------


def reference(documents: Sequence[PriceRevision], row: Mapping[str, Any]) -> Bill:
    row = DEFAULTS | dict(row)
    usage = frame([row])
    normalised = normalise(usage)
    tier = row["service_tier"] or "standard"
    last: dict[tuple[str, int], PriceRevision] = {}
    for document in sorted(documents, key=age):
        last[document.name, document.price.effective_from] = document
    known = sorted(last.values(), key=age)
    model = find_model(known, row["provider"], row["model"])
    names = (row["provider"], model or row["model"], tier)
    if normalised.rejected[0]:
        return Bill(0, "rejected", "", REJECT_REASONS[normalised.reason[0]], *names, "")
    tokens = {name: int(values[0]) for name, values in normalised.buckets.items()}
    chosen, reason = find_price(known, row, model)
    if chosen is not None and chosen.price.tier(tier) is None:
        chosen, reason = None, "tier"
    if chosen is None:
        return Bill(0, *(("priced", "") if row["cache_hit"] else ("unpriced", reason)), "", *names, "")
    if row["cache_hit"]:
        return Bill(0, "priced", "", "", *names, chosen.price_id)
    return charge(chosen, tokens, row["requests"], names)


def age(document: PriceRevision) -> tuple[int, int, str]:
    return document.known_at, document.revision, document.name


def find_model(known: Sequence[PriceRevision], provider: str, name: str) -> str | None:
    prices = [document.price for document in known if document.price.provider == provider]
    if any(price.model == name for price in prices):
        return name
    by_alias = [price.model for price in sorted_by_known(known, provider) if name in price.aliases]
    return by_alias[-1] if by_alias else None


def sorted_by_known(known: Sequence[PriceRevision], provider: str) -> list[ModelPrice]:
    ordered = sorted(known, key=lambda d: (d.known_at, d.name))
    return [document.price for document in ordered if document.price.provider == provider]


def find_price(
    known: Sequence[PriceRevision], row: Mapping[str, Any], model: str | None
) -> tuple[PriceRevision | None, str]:
    if model is None:
        return None, "model"
    mine = [d for d in known if (d.price.provider, d.price.model) == (row["provider"], model)]
    any_timeline = False
    for region in (row["region"], None):
        timeline = [d for d in mine if d.price.region == region]
        any_timeline = any_timeline or bool(timeline)
        started = [d for d in timeline if d.price.effective_from <= row["occurred_at"]]
        if started:
            newest = max(started, key=lambda d: (d.price.effective_from, *age(d)))
            end = newest.price.effective_to
            if end is None or row["occurred_at"] < end:
                return newest, ""
    return None, "date" if any_timeline else "region"


def charge(document: PriceRevision, tokens: Mapping[str, int], requests: int, names: tuple[str, str, str]) -> Bill:
    tier = document.price.tier(names[2])
    assert tier is not None
    rates = tier.rates or document.price.rates
    own = dict(rates.pico_per_token)
    total = sum(tokens[name] for name in INPUT_BUCKETS)
    for context in rates.context_tiers:
        if Fraction(total, max(requests, 1)) > context.above_input_tokens:
            own = {**rates.pico_per_token, **context.pico_per_token}
    for name, other in (
        ("cache_read", "input"),
        ("cache_write_5m", "input"),
        ("cache_write_1h", "cache_write_5m"),
        ("reasoning", "output"),
    ):
        if name not in own and other in own:
            own[name] = own[other]
    amount, missing = Fraction(requests * rates.pico_per_request), False
    for name, bucket in zip(CLASSES, BUCKETS, strict=True):
        if name in own:
            amount += tokens[bucket] * own[name]
        elif tokens[bucket]:
            missing = True
    if not (rates.pico_per_token or rates.context_tiers or rates.pico_per_request):
        return Bill(0, "unpriced", "class", "", *names, "")
    price = document.price
    cost = round(amount * tier.multiplier * (1 - price.discount) * (1 + price.margin))
    if cost >= 2**63:
        return Bill(0, "rejected", "", "amount_overflow", *names, "")
    status = ("partial", "class") if missing else ("priced", "")
    return Bill(cost, *status, "", *names, document.price_id)


# Random books and batches -----------------------------------------------------------------------------------------

PICO = st.one_of(st.integers(0, 9), st.integers(0, 10**8), st.sampled_from([0, 10**12, 10**18]))
CLASS_PRICES = st.dictionaries(st.sampled_from(CLASSES), PICO, max_size=9)
CONTEXTS = st.dictionaries(st.sampled_from([1, 5, 20, 1000]), CLASS_PRICES.filter(bool), max_size=3).map(
    lambda tiers: tuple(ContextTier(above, tiers[above]) for above in sorted(tiers))
)
RATES = st.builds(Rates, CLASS_PRICES, CONTEXTS, st.one_of(st.just(0), PICO))
FACTOR = st.one_of(
    st.sampled_from([Fraction(0), Fraction(1), Fraction(1, 2), Fraction(2)]),
    st.fractions(0, 1, max_denominator=1000),
    st.integers(0, 10**12).map(lambda n: Fraction(n, 10**12)),
)
TIERS = st.dictionaries(
    st.sampled_from(["batch", "flex"]), st.builds(ServiceTier, FACTOR, st.one_of(st.none(), RATES)), max_size=2
)
MOMENT = st.integers(-3, 12)
PRICE = st.builds(
    ModelPrice,
    provider=st.sampled_from(["p", "q"]),
    model=st.sampled_from(["m", "n"]),
    rates=RATES,
    effective_from=MOMENT,
    effective_to=st.one_of(st.none(), MOMENT),
    aliases=st.lists(st.sampled_from(["m", "n", "a", "b"]), max_size=2).map(tuple),
    region=st.one_of(st.none(), st.sampled_from(["eu", "us"])),
    service_tiers=TIERS,
    discount=FACTOR.filter(lambda f: f <= 1),
    margin=FACTOR,
)


def with_ids(prices: Sequence[tuple[str, ModelPrice]]) -> list[PriceRevision]:
    """Each document known after the one before it; the same identity again is its next revision."""
    revisions: dict[tuple[str, int], int] = {}
    documents = []
    for known_at, (name, price) in enumerate(prices):
        identity = (name, price.effective_from)
        revisions[identity] = revisions.get(identity, 0) + 1
        documents.append(PriceRevision(name, price, revisions[identity], known_at))
    return documents


DOCUMENTS = st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), PRICE), max_size=6).map(with_ids)
COUNT = st.one_of(st.just(0), st.integers(0, 30), st.integers(0, 10**6), st.sampled_from([-1, 10**12, 10**13]))
ROW = st.fixed_dictionaries(
    {
        "provider": st.sampled_from(["p", "p", "q", "r"]),
        "model": st.sampled_from(["m", "n", "a", "b", "c"]),
        "service_tier": st.sampled_from([None, "", "standard", "batch", "flex", "warp"]),
        "region": st.sampled_from([None, "eu", "us", "ap"]),
        "convention": st.sampled_from(["inclusive", "disjoint", "disjoint"]),
        "requests": st.sampled_from([1, 1, 0, 3, 10**9]),
        "occurred_at": MOMENT,
        "cache_hit": st.sampled_from([False, False, False, True]),
    }
    | dict.fromkeys(REPORTED, COUNT)
)
ROWS = st.lists(ROW, min_size=1, max_size=12)


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, ROWS)
def test_the_book_bills_every_row_as_the_reference_does(
    documents: list[PriceRevision], rows: list[dict[str, Any]]
) -> None:
    assert rate(PriceBook.build(documents, None), *rows) == [reference(documents, row) for row in rows]


@settings(deadline=None)
@given(DOCUMENTS, ROWS)
def test_a_batch_of_one_is_a_slice_of_a_batch_of_many(
    documents: list[PriceRevision], rows: list[dict[str, Any]]
) -> None:
    book = PriceBook.build(documents, None)
    assert [rate(book, row)[0] for row in rows] * 30 == rate(book, *rows * 30)


@settings(deadline=None)
@given(DOCUMENTS, ROWS, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_of_documents_matters(documents, rows, random) -> None:  # type: ignore[no-untyped-def]
    once = rate(PriceBook.build(documents, None), *rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    random.shuffle(documents)
    again = rate(PriceBook.build(documents, None), *(rows[i] for i in order))
    assert again == [once[i] for i in order]


@settings(deadline=None)
@given(DOCUMENTS, ROWS)
def test_every_row_has_one_outcome_and_only_billed_rows_cost(
    documents: list[PriceRevision], rows: list[dict[str, Any]]
) -> None:
    for bill in rate(PriceBook.build(documents, None), *rows):
        assert bill.cost_pico_usd >= 0
        assert (bill.unpriced_reason != "") == (bill.status in ("partial", "unpriced"))
        assert (bill.reject_reason != "") == (bill.status == "rejected")
        assert bill.cost_pico_usd == 0 or (bill.status in ("priced", "partial") and bill.price_id)
