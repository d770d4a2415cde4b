"""Savings in sequence: the worked example of domain.md §7, and what follows from acting on what is left."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.recommendations.sequence import Cache, Measure, Route, Stream, Trim, combined_saving, remaining

USD = 10**12
# 2 M requests a day, 2 000 in + 1 000 out, on GPT-5.5 at 5 / 30 USD per million tokens.
BILL = (Stream(Fraction(20_000 * USD), Fraction(60_000 * USD)),)
CACHE = Cache(Fraction(1, 4))
HAIKU = Route(Fraction(6, 10), Fraction(1, 5), Fraction(5, 30))
SHORTER = Trim(Fraction(1, 5))


def test_alone_the_three_measures_of_the_worked_example_add_up_to_63_600_dollars_a_day() -> None:
    alone = [combined_saving(BILL, [measure]) for measure in (CACHE, HAIKU, SHORTER)]
    assert alone == [20_000 * USD, 39_600 * USD, 4_000 * USD]


def test_in_sequence_80_000_dollars_a_day_become_28_740() -> None:
    assert remaining(BILL, [CACHE, HAIKU, SHORTER]) == 28_740 * USD
    assert combined_saving(BILL, [CACHE, HAIKU, SHORTER]) == 51_260 * USD


shares = st.fractions(0, 1, max_denominator=100)
measures: st.SearchStrategy[Measure] = st.one_of(
    st.builds(Cache, shares), st.builds(Trim, shares), st.builds(Route, shares, shares, shares)
)
bills = st.lists(st.builds(Stream, st.fractions(0, 10**6), st.fractions(0, 10**6)), min_size=1, max_size=3).map(tuple)


@given(bills, st.lists(measures, max_size=4))
def test_together_measures_never_save_more_than_their_sum_nor_more_than_the_bill(
    bill: tuple[Stream, ...], several: list[Measure]
) -> None:
    together = combined_saving(bill, several)
    assert together <= sum(combined_saving(bill, [one]) for one in several) + len(several)
    assert 0 <= together <= remaining(bill, ())
