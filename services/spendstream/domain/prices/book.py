"""The price book: which price each row of a batch gets, and what it then costs.

    cost = round_half_even(
        (Σ tokens × pico per token + requests × fee) × tier × (1 − discount) × (1 + margin) × exchange rate
    )

Names are resolved once per distinct (provider, model, service tier, region) and remembered; rows are array arithmetic.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import polars as pl

from spendstream.domain.prices.amounts import Amounts, bill
from spendstream.domain.prices.cards import RateCard, rate_card
from spendstream.domain.prices.catalogue import Catalogue
from spendstream.domain.prices.combinations import Coded, Combination, coded, combinations
from spendstream.domain.prices.currency import FxRates
from spendstream.domain.prices.model import PriceRevision
from spendstream.domain.prices.resolve import Resolver
from spendstream.domain.prices.table import Ints, compile_lanes
from spendstream.domain.prices.timeline import DOLLARS_ONLY, NO_CLASS
from spendstream.domain.tokens import AMOUNT_OVERFLOW, Codes, Mask, Normalised

PRICED, PARTIAL, UNPRICED, REJECTED = range(4)
STATUSES: Final = ("priced", "partial", "unpriced", "rejected")

_MICROS_PER_DAY: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Rated:
    """What each row of a batch costs. Every array has the batch's length.

    `cost_pico_usd`: 0 unless priced or partial. `status`: PRICED, PARTIAL, UNPRICED or REJECTED (index of STATUSES).
    `unpriced_reason`: index of UNPRICED_REASONS, 0 when priced or rejected. `reject_reason`: index of REJECT_REASONS;
    it repeats the normaliser's and adds `amount_overflow`. Names are canonical: `model` after its alias, `tier` never
    null; `price_id` is '' where no price was in force.
    """

    cost_pico_usd: Ints
    status: Codes
    unpriced_reason: Codes
    rejected: Mask
    reject_reason: Codes
    provider: Coded
    model: Coded
    tier: Coded
    price_id: Coded


class PriceBook:
    """Prices as known at one control offset. Rating never changes them; it only remembers resolved names."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._table = compile_lanes(resolver.lanes)

    @classmethod
    def build(
        cls, documents: Iterable[PriceRevision], catalogue: Catalogue | None, rates: FxRates = DOLLARS_ONLY
    ) -> Self:
        """A book of `documents` (any order, all revisions welcome) in front of `catalogue` (None: documents only)."""
        return cls(Resolver(documents, catalogue, rates))

    def rate(self, usage: pl.DataFrame, normalised: Normalised) -> Rated:
        """Cost, status and canonical names of every row of `usage`; `normalised` is `normalise(usage)`."""
        code, names = combinations(usage)
        found = [self._resolver.combination(*name) for name in names]
        if len(self._resolver.lanes) != self._table.lanes:
            self._table = compile_lanes(self._resolver.lanes)
        table = self._table
        segment = table.segments_at(_lanes(code, found, moment := _micros(usage["occurred_at"])), moment)
        amounts = bill(table, segment, normalised)
        hit = usage["cache_hit"].fill_null(False).to_numpy()
        reject = np.where(amounts.overflow & ~hit, np.int8(AMOUNT_OVERFLOW), normalised.reason)
        rejected = reject != 0
        status, reason = _outcome(table.segment_reason[segment], amounts, hit, rejected)
        unpriced = status >= UNPRICED
        return Rated(
            cost_pico_usd=np.where(hit | unpriced, 0, amounts.pico_usd),
            status=status,
            unpriced_reason=reason,
            rejected=rejected,
            reject_reason=reject,
            provider=coded(code, [c.provider for c in found]),
            model=coded(code, [c.model for c in found]),
            tier=coded(code, [c.tier for c in found]),
            price_id=Coded(np.where(unpriced, np.int32(0), table.segment_price[segment]), table.price_ids),
        )

    def card(self, price_id: str, tier: str) -> RateCard | None:
        """What the price behind a price id of this book says about a service tier; None for an id it never gave."""
        found = self._resolver.revision(price_id)
        return None if found is None else rate_card(*found, price_id, tier)


def _outcome(reason: Codes, amounts: Amounts, hit: Mask, rejected: Mask) -> tuple[Codes, Codes]:
    """Status and unpriced reason of each row, from the reason its segment gives."""
    reason[amounts.some_class_missing] = NO_CLASS
    reason[hit | rejected] = 0
    status = np.where(reason == 0, np.int8(PRICED), np.int8(UNPRICED))
    status[(reason == NO_CLASS) & amounts.some_class_missing] = PARTIAL
    status[rejected] = REJECTED
    return status, reason


def _lanes(code: Ints, found: list[Combination], moment: Ints) -> Ints:
    """The lane of each row: its combination's, for its part of the day."""
    lane = np.array([c.lanes[0] for c in found], np.int64)[code]
    for i, combination in enumerate(found):
        if len(combination.lanes) > 1:
            rows = np.flatnonzero(code == i)
            part = np.searchsorted(combination.day_starts, moment[rows] % _MICROS_PER_DAY, side="right") - 1
            lane[rows] = np.array(combination.lanes, np.int64)[part]
    return lane


def _micros(occurred_at: pl.Series) -> Ints:
    if isinstance(occurred_at.dtype, pl.Datetime):
        occurred_at = occurred_at.dt.epoch("us")
    return occurred_at.cast(pl.Int64).to_numpy()
