"""A month's allocation is a series of versions; a version holds only what it changes."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from spendstream.domain.allocation.model import Amounts, Origin, Placement, SourceRow, in_place, summed


class Move(NamedTuple):
    """`pico_usd` (above zero) that was with one bucket and is now with another."""

    source: str
    category: str
    from_bucket: str
    to_bucket: str
    pico_usd: int


def difference(before: Amounts, after: Amounts) -> dict[Placement, int]:
    """What has to be added to `before` to make it `after`."""
    taken = ((placement, -pico_usd) for placement, pico_usd in before.items())
    return summed([*after.items(), *taken])


def digest(amounts: Amounts) -> str:
    """SHA-256 of an allocation: equal for equal results, whatever the order they came in."""
    lines = sorted(json.dumps([placement, pico_usd]) for placement, pico_usd in amounts.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def as_shown(known: Amounts, rows: Iterable[SourceRow]) -> dict[Placement, int]:
    """What `v_allocated` shows before the next version: the newest version, and beside it, in place, what the sources
    have become since. It adds up to `rows`."""
    now = ((in_place(row.origin), row.cost_pico_usd) for row in rows)
    then = ((in_place(placement.origin), -pico_usd) for placement, pico_usd in known.items())
    return summed([*known.items(), *now, *then])


def moves(before: Amounts, after: Amounts) -> list[Move]:
    """What moves from whom to whom, between two pictures of the same cost: what one loses another gains.

    Within an origin it is not defined which dollar went where; losers and gainers are paired in alphabetical order.
    Raises ValueError when the pictures do not add up to the same for some origin.
    """
    changes: dict[Origin, dict[str, int]] = {}
    for placement, pico_usd in difference(before, after).items():
        buckets = changes.setdefault(placement.origin, {})
        buckets[placement.bucket] = buckets.get(placement.bucket, 0) + pico_usd
    total: dict[tuple[str, str, str, str], int] = {}
    for origin, buckets in changes.items():
        for loser, gainer, pico_usd in _paired(buckets):
            key = (origin.source, origin.category, loser, gainer)
            total[key] = total.get(key, 0) + pico_usd
    return [Move(*key, pico_usd) for key, pico_usd in sorted(total.items())]


def _paired(changes: Mapping[str, int]) -> Sequence[tuple[str, str, int]]:
    if sum(changes.values()):
        raise ValueError("what is lost and what is gained differ")
    losers = sorted((bucket, -pico_usd) for bucket, pico_usd in changes.items() if pico_usd < 0)
    gainers = sorted((bucket, pico_usd) for bucket, pico_usd in changes.items() if pico_usd > 0)
    found = []
    while losers:
        (loser, lost), (gainer, gained) = losers.pop(0), gainers.pop(0)
        moved = min(lost, gained)
        found.append((loser, gainer, moved))
        if lost > moved:
            losers.insert(0, (loser, lost - moved))
        if gained > moved:
            gainers.insert(0, (gainer, gained - moved))
    return found
