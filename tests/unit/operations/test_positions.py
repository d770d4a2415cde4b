"""Offsets as ranges."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spendstream.operations.positions import Range, condition, ends, joined, ranges_of

offsets = st.lists(st.integers(0, 60), max_size=40)


@given(offsets)
def test_ranges_hold_exactly_the_offsets_and_never_touch_each_other(found: list[int]) -> None:
    ranges = ranges_of("i", 0, found)
    assert sorted(o for each in ranges for o in range(each.first, each.last + 1)) == sorted(set(found))
    assert all(right.first > left.last + 1 for left, right in pairwise(ranges))


@given(offsets, offsets)
def test_joining_two_sends_is_the_same_as_one_send(one: list[int], other: list[int]) -> None:
    assert joined([*ranges_of("i", 0, one), *ranges_of("i", 0, other)]) == ranges_of("i", 0, one + other)


def test_partitions_and_incarnations_are_never_joined() -> None:
    ranges = [Range("a", 0, 0, 3), Range("a", 1, 4, 5), Range("b", 0, 4, 5)]
    assert joined(ranges) == ranges
    assert ends([*ranges, Range("a", 0, 9, 9)]) == {("a", 0): 9, ("a", 1): 5, ("b", 0): 5}


def test_an_incarnation_that_is_not_one_does_not_get_into_sql() -> None:
    assert (
        condition([Range("ab12", 3, 5, 9)]) == "((incarnation = 'ab12' and partition = 3 and offset between 5 and 9))"
    )
    try:
        condition([Range("x' or 1=1 --", 0, 0, 0)])
    except ValueError as error:
        assert "is not an incarnation" in str(error)
    else:
        raise AssertionError("it got in")
