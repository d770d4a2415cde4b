"""Which offsets of a topic are ours: ranges without gaps."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple


class Range(NamedTuple):
    """Offsets `first` to `last`, inclusive, of one partition of one incarnation of a topic."""

    incarnation: str
    partition: int
    first: int
    last: int


class Place(NamedTuple):
    """One partition of one incarnation."""

    incarnation: str
    partition: int


def ranges_of(incarnation: str, partition: int, offsets: Iterable[int]) -> list[Range]:
    """The offsets, in any order, as the fewest ranges."""
    runs = groupby(enumerate(sorted(set(offsets))), key=lambda pair: pair[1] - pair[0])
    spans = ([offset for _, offset in run] for _, run in runs)
    return [Range(incarnation, partition, span[0], span[-1]) for span in spans]


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in order, adjacent and overlapping ones made one."""
    found: list[Range] = []
    for each in sorted(ranges):
        if found and found[-1][:2] == each[:2] and each.first <= found[-1].last + 1:
            found[-1] = found[-1]._replace(last=max(found[-1].last, each.last))
        else:
            found.append(each)
    return found


def ends(ranges: Iterable[Range]) -> dict[Place, int]:
    """Last offset in each place."""
    found: dict[Place, int] = {}
    for each in ranges:
        place = Place(each.incarnation, each.partition)
        found[place] = max(each.last, found.get(place, each.last))
    return found


def condition(ranges: Sequence[Range]) -> str:
    """SQL that is true for rows whose columns incarnation, partition and offset lie in one of the ranges."""
    return (
        "(" + " or ".join(f"({_place(each)} and offset between {each.first} and {each.last})" for each in ranges) + ")"
    )


def _place(each: Range | Place) -> str:
    # An incarnation is a topic id or a UUID of ours; anything else has no business in SQL text.
    if not each.incarnation.isalnum():
        raise ValueError(f"{each.incarnation!r} is not an incarnation")
    return f"incarnation = '{each.incarnation}' and partition = {int(each.partition)}"


def place_condition(place: Place) -> str:
    """SQL that is true for rows of one place."""
    return _place(place)
