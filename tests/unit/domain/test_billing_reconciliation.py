"""Why invoice and estimate differ: seven amounts that always add up, and each for its own cause."""

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.billing.reconciliation import CLASSES, MATCH, TOKEN, Cell, Variance, share, variance

USD = 10**12
#: A thousand tokens at a cent each, seen and billed alike.
AGREED = Cell(
    covered=True, estimate=10 * USD, events=10, stream_tokens=1_000, lines=1, effective=10 * USD, contracted=10 * USD,
    list_cost=10 * USD, quantity=1_000 * TOKEN, decimals=2,
)  # fmt: skip
#: The same where the bill counts no tokens.
UNCOUNTED = replace(AGREED, quantity=None)


def billed(cost: int, **changes: object) -> Cell:
    """All three costs of the usage lines alike."""
    return replace(AGREED, effective=cost, contracted=cost, list_cost=cost, **changes)  # type: ignore[arg-type]


COSTS = st.integers(-(10**16), 10**16)
COUNTS = st.integers(0, 10)
QUANTITIES = st.integers(0, 10**7)


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    """Any two sides of a cell, sensible or not; what is not there is nothing."""
    lines, events = draw(COUNTS), draw(COUNTS)
    tokens = draw(QUANTITIES) if events else 0
    cell = Cell(
        covered=draw(st.booleans()), events=events, lines=lines, stream_tokens=tokens,
        estimate=draw(st.integers(0, 10**16)) if events else 0,
        unpriced_events=draw(st.integers(0, events)), partial_events=draw(st.integers(0, 1)) if events else 0,
        unpriced_tokens=draw(st.integers(0, tokens)), other=draw(COSTS), corrections=draw(COSTS),
        decimals=draw(st.integers(0, 30)),
    )  # fmt: skip
    if not lines:
        return cell
    quantity = draw(st.none() | QUANTITIES)
    repeats = draw(st.booleans())
    cell = replace(cell, effective=draw(COSTS), contracted=draw(COSTS), list_cost=draw(COSTS))
    if repeats:
        cell = replace(cell, repeated_effective=draw(COSTS), repeated_contracted=draw(COSTS), repeated_list=draw(COSTS))
    if quantity is None:
        return cell
    again = draw(st.integers(0, quantity)) if repeats else 0
    return replace(cell, quantity=quantity * TOKEN, repeated_quantity=again * TOKEN)


@given(cells())
def test_the_amounts_add_up_to_the_variance_to_the_pico_dollar(cell: Cell) -> None:
    assert variance(cell).total == cell.invoice - cell.estimate


@given(cells())
def test_agreement_is_a_match_and_only_amounts_make_a_class(cell: Cell) -> None:
    found = variance(cell)
    assert (found.largest == MATCH) == (found == Variance())
    assert {field.name for field in fields(Variance)} == set(CLASSES)


def test_a_bill_that_agrees_has_no_variance() -> None:
    assert variance(AGREED) == variance(UNCOUNTED) == Variance()


def test_the_same_tokens_at_another_price_are_a_matter_of_price() -> None:
    assert variance(billed(11 * USD)) == Variance(price=USD)
    assert variance(billed(9 * USD, quantity=None)) == Variance(price=-USD)


def test_a_difference_within_the_bills_decimals_is_rounding() -> None:
    cent = USD // 100
    assert variance(billed(10 * USD + cent // 2)) == Variance(rounding=cent // 2)
    assert variance(billed(10 * USD + cent)) == Variance(price=cent)
    assert variance(billed(10 * USD + cent, lines=2)) == Variance(rounding=cent)
    assert variance(billed(10 * USD + 1, decimals=30)) == Variance(rounding=1)
    assert variance(billed(10 * USD + 2, decimals=12)) == Variance(price=2)


def test_tokens_the_stream_has_not_seen_are_missing_usage_at_the_bills_price() -> None:
    assert variance(billed(12 * USD, quantity=1_200 * TOKEN)) == Variance(missing_usage=2 * USD)
    assert variance(billed(24 * USD, quantity=1_200 * TOKEN)) == Variance(missing_usage=4 * USD, price=10 * USD)
    unseen = replace(AGREED, events=0, estimate=0, stream_tokens=0)
    assert variance(unseen) == Variance(missing_usage=10 * USD)


def test_tokens_the_bill_has_not_were_counted_twice_here() -> None:
    assert variance(billed(8 * USD, quantity=800 * TOKEN)) == Variance(duplicate=-2 * USD)
    unbilled = Cell(covered=True, estimate=USD, events=1, stream_tokens=5)
    assert variance(unbilled) == Variance(duplicate=-USD)


def test_a_line_that_is_there_twice_is_a_duplicate_unless_the_stream_needs_both() -> None:
    twice = {"repeated_effective": 10 * USD, "repeated_contracted": 10 * USD, "repeated_list": 10 * USD, "lines": 2}
    assert variance(billed(20 * USD, quantity=2_000 * TOKEN, repeated_quantity=1_000 * TOKEN, **twice)) == Variance(
        duplicate=10 * USD
    )
    assert variance(billed(20 * USD, quantity=None, **twice)) == Variance(duplicate=10 * USD)
    both = replace(billed(20 * USD, quantity=None, **twice), estimate=20 * USD)
    assert variance(both) == Variance()


def test_tokens_without_a_price_cost_what_the_bill_says() -> None:
    half = replace(AGREED, estimate=5 * USD, unpriced_events=5, unpriced_tokens=500)
    assert variance(half) == Variance(unpriced=5 * USD)
    assert variance(replace(half, quantity=None)) == Variance(unpriced=5 * USD)
    assert variance(replace(AGREED, estimate=7 * USD, partial_events=3)) == Variance(unpriced=3 * USD)


def test_what_a_commitment_takes_off_the_price_the_estimate_means_is_no_matter_of_price() -> None:
    assert variance(replace(AGREED, effective=8 * USD)) == Variance(commitment_or_discount=-2 * USD)
    negotiated = replace(AGREED, estimate=9 * USD, contracted=9 * USD, effective=6 * USD)
    assert variance(negotiated) == Variance(commitment_or_discount=-3 * USD)
    known = replace(AGREED, estimate=6 * USD, contracted=9 * USD, effective=6 * USD)
    assert variance(known) == Variance()


def test_credits_and_purchases_are_no_usage_and_corrections_are_late() -> None:
    assert variance(replace(AGREED, other=-3 * USD)) == Variance(commitment_or_discount=-3 * USD)
    assert variance(replace(AGREED, corrections=USD)) == Variance(late=USD)


def test_usage_the_bill_does_not_reach_yet_is_late() -> None:
    assert variance(Cell(covered=False, estimate=USD, events=1)) == Variance(late=-USD)


def test_shares_are_cut_towards_zero() -> None:
    assert [share(10, 1, 3), share(-10, 1, 3), share(0, 5, 7)] == [3, -3, 0]
