"""An organisation's own prices beside the published ones, class by class, at one moment."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from spendstream.domain.prices.catalogue import Catalogue
from spendstream.domain.prices.currency import FxRates
from spendstream.domain.prices.model import CLASSES, STANDARD, PriceRevision, Rates
from spendstream.domain.prices.timeline import DOLLARS_ONLY, Segment, current, in_order, segments


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """One class of one model: pico-dollars a unit after discount, margin and exchange; None where there is no price.

    `above_input_tokens` is the context threshold the row is for (0: the base price); `price_class` is one of CLASSES
    or `request`.
    """

    provider: str
    model: str
    above_input_tokens: int
    price_class: str
    own: Fraction | None
    listed: Fraction | None
    own_price_id: str
    listed_price_id: str

    @property
    def state(self) -> str:
        """`same`, `dearer` or `cheaper` than published; `own only`; `published only` (then usage is `partial`)."""
        if self.own is None:
            return "published only"
        if self.listed is None:
            return "own only"
        return "same" if self.own == self.listed else "dearer" if self.own > self.listed else "cheaper"

    @property
    def change(self) -> Fraction | None:
        """own / published − 1; None where one of them is missing or the published price is zero."""
        return self.own / self.listed - 1 if self.own is not None and self.listed else None


def compare(
    revisions: Iterable[PriceRevision], catalogue: Catalogue, moment: int, rates: FxRates = DOLLARS_ONLY
) -> list[PriceDifference]:
    """Every class of every documented model in force at `moment` (microseconds), standard tier, any region."""
    models: dict[tuple[str, str], list[PriceRevision]] = {}
    for revision in current(revisions):
        if revision.price.region is None:
            models.setdefault((revision.price.provider, revision.price.model), []).append(revision)
    return [
        difference
        for name, own in sorted(models.items())
        for difference in _of_model(name, own, catalogue, moment, rates)
    ]


def _of_model(
    name: tuple[str, str], own: Sequence[PriceRevision], catalogue: Catalogue, moment: int, rates: FxRates
) -> Iterator[PriceDifference]:
    ours = _at(segments(in_order(own), (), STANDARD, rates), moment)
    published = catalogue.resolve(*name)
    theirs = _at(segments(published.versions[0], (), STANDARD), moment) if published else None
    if ours.rates is None:
        return
    listed = theirs.rates if theirs else None
    thresholds = {tier.above_input_tokens for found in (ours.rates, listed) if found for tier in found.context_tiers}
    for above in sorted({0, *thresholds}):
        mine = _prices(ours.rates, above, ours.factor)
        other = _prices(listed, above, theirs.factor) if listed and theirs else {}
        for price_class in (*CLASSES, "request"):
            if (own_price := mine.get(price_class)) is not None or other.get(price_class) is not None:
                yield PriceDifference(
                    *name, above, price_class, own_price, other.get(price_class), ours.price_id,
                    theirs.price_id if theirs else "",
                )  # fmt: skip


def _at(timeline: Sequence[Segment], moment: int) -> Segment:
    return [segment for segment in timeline if segment.start <= moment][-1]


def _prices(rates: Rates, above: int, factor: Fraction) -> dict[str, Fraction]:
    """Price by class for a request just above a threshold, fallbacks taken; a fee of zero is no fee."""
    rows = rates.rows()
    row = rows[sum(tier.above_input_tokens <= above for tier in rates.context_tiers)]
    found = {name: pico * factor for name, pico in zip(CLASSES, row, strict=True) if pico is not None}
    if rates.pico_per_request:
        found["request"] = rates.pico_per_request * factor
    return found
