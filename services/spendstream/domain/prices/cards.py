"""Rate cards: everything a price said about one service tier, kept beside the charges it made.

A charge carries its amount and price id. With the card of that price its list and contracted cost, and its parts by
token class, follow exactly; nobody has to find the price documents of that day again.
"""

from dataclasses import dataclass
from fractions import Fraction

from spendstream.domain.prices.model import PriceRevision


@dataclass(frozen=True, slots=True)
class RateCard:
    """Pico units of the price's currency per token and request, and what they are multiplied by.

    `pico_per_token[k]` has a price for each of CLASSES (None: no price of that class): the first row is the base, row
    k holds when the input tokens per request exceed `above[k - 1]`. `list_factor`: service tier and exchange alone;
    `contracted_factor`: also the discount; `billed_factor`: also the margin.
    """

    price_id: str
    tier: str
    above: tuple[int, ...]
    pico_per_token: tuple[tuple[int | None, ...], ...]
    pico_per_request: int
    list_factor: Fraction
    contracted_factor: Fraction
    billed_factor: Fraction


def rate_card(revision: PriceRevision, exchange: Fraction, price_id: str, tier: str) -> RateCard | None:
    """The card of a price for a service tier; None when the price does not list the tier.

    `exchange`: dollars of one unit of the price's currency; it is in all three factors.
    """
    price = revision.price
    found = price.tier(tier)
    if found is None:
        return None
    rates = found.rates or price.rates
    return RateCard(
        price_id=price_id,
        tier=tier,
        above=tuple(context.above_input_tokens for context in rates.context_tiers),
        pico_per_token=tuple(rates.rows()),
        pico_per_request=rates.pico_per_request,
        list_factor=found.multiplier * exchange,
        contracted_factor=found.multiplier * (1 - price.discount) * exchange,
        billed_factor=found.multiplier * price.after_list * exchange,
    )
