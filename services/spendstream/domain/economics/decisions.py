"""Build or buy, and where two cost lines cross (domain.md §8)."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from spendstream.domain.economics.exact import Amount, Document, Positive, Text, ratio, usd

Side = Literal["build", "buy", "same"]
Months = Annotated[int, Field(gt=0, le=600)]


class Development(Document):
    """People who build it; it runs when they are done."""

    months: Annotated[int, Field(ge=0, le=600)]
    people: Amount
    usd_per_month: Amount


class Maintenance(Document):
    """People who keep it running."""

    fte: Amount
    usd_per_month: Amount


class Build(Document):
    """Own development, then infrastructure and maintenance for the months that are left."""

    development: Development
    infrastructure_usd_per_month: Amount = Decimal(0)
    maintenance: Maintenance | None = None


class Buy(Document):
    """A price per unit with a monthly minimum. `units_per_month`: the last one goes on."""

    usd_per_unit: Amount
    minimum_usd_per_month: Amount = Decimal(0)
    setup_usd: Amount = Decimal(0)
    units_per_month: Annotated[tuple[Amount, ...], Field(min_length=1)]


class Factor(Document):
    """What money does not say: scores of both sides, weighted."""

    name: Text
    weight: Positive
    build: Amount
    buy: Amount


class Choice(Document):
    """Input of `build_or_buy`."""

    months: Months
    build: Build
    buy: Buy
    factors: tuple[Factor, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildOrBuy:
    """Cost of both over all months, and their weighted scores (None without factors)."""

    cheaper: Side
    saving_usd: Decimal
    build_usd: Decimal
    buy_usd: Decimal
    development_usd: Decimal
    infrastructure_usd: Decimal
    maintenance_usd: Decimal
    units: Decimal
    build_score: Decimal | None
    buy_score: Decimal | None
    better_scored: Side | None


def build_or_buy(choice: Choice) -> BuildOrBuy:
    """Total cost of building (development + operation of the months left) against buying (units, or the minimum).

    `ValueError` when development takes longer than the horizon, or weights do not add up to 1.
    """
    build, buy = choice.build, choice.buy
    running = choice.months - build.development.months
    if running < 0:
        raise ValueError(f"development takes {build.development.months} of {choice.months} months: nothing would run")
    if choice.factors and (weights := sum(factor.weight for factor in choice.factors)) != 1:
        raise ValueError(f"the weights of the factors add up to {weights}, not 1")
    development = _product(build.development.months, build.development.people, build.development.usd_per_month)
    infrastructure = _product(running, build.infrastructure_usd_per_month)
    kept = build.maintenance
    maintenance = _product(running, kept.fte, kept.usd_per_month) if kept else Fraction(0)
    units = [Fraction(buy.units_per_month[min(i, len(buy.units_per_month) - 1)]) for i in range(choice.months)]
    floor = Fraction(buy.minimum_usd_per_month)
    bought = Fraction(buy.setup_usd) + sum((max(floor, n * Fraction(buy.usd_per_unit)) for n in units), Fraction(0))
    built = development + infrastructure + maintenance
    scores = [
        sum((Fraction(f.weight) * Fraction(score) for f, score in zip(choice.factors, side, strict=True)), Fraction(0))
        for side in ([f.build for f in choice.factors], [f.buy for f in choice.factors])
    ]
    return BuildOrBuy(
        cheaper=_lower(built, bought),
        saving_usd=usd(abs(built - bought)),
        build_usd=usd(built),
        buy_usd=usd(bought),
        development_usd=usd(development),
        infrastructure_usd=usd(infrastructure),
        maintenance_usd=usd(maintenance),
        units=ratio(sum(units, Fraction(0))),
        build_score=ratio(scores[0]) if choice.factors else None,
        buy_score=ratio(scores[1]) if choice.factors else None,
        better_scored=_lower(-scores[0], -scores[1]) if choice.factors else None,
    )


class Lines(Document):
    """Input of `crossover`: fixed cost of a period and variable cost of a unit, of both sides."""

    build_fixed_usd: Amount
    build_variable_usd: Amount
    buy_fixed_usd: Amount
    buy_variable_usd: Amount


@dataclass(frozen=True, slots=True)
class Crossover:
    """`volume`: where both cost the same; None when they never do, or always. `below`/`above`: who is cheaper there.

    Without a crossing at a volume above zero, `below` and `above` are the same side.
    """

    volume: Decimal | None
    cost_usd: Decimal | None
    below: Side
    above: Side
    meaning: str


def crossover(lines: Lines) -> Crossover:
    """(build fixed − buy fixed) / (buy variable − build variable), with every case of signs.

    | variable cost | fixed cost | |
    |---|---|---|
    | equal | equal | the same everywhere |
    | equal | one is lower | that one everywhere, no crossing |
    | one is lower | the same one is lower or equal | that one everywhere (from 0 on) |
    | one is lower | the other one is lower | the other one below the crossing, that one above |
    """
    build_fixed, buy_fixed = Fraction(lines.build_fixed_usd), Fraction(lines.buy_fixed_usd)
    build_slope, buy_slope = Fraction(lines.build_variable_usd), Fraction(lines.buy_variable_usd)
    by_fixed, by_slope = _lower(build_fixed, buy_fixed), _lower(build_slope, buy_slope)
    if by_slope == "same":
        meaning = (
            "both cost the same at every volume" if by_fixed == "same" else f"{by_fixed} is cheaper at every volume"
        )
        return Crossover(None, None, by_fixed, by_fixed, meaning)
    volume = (build_fixed - buy_fixed) / (buy_slope - build_slope)
    if volume < 0:
        return Crossover(None, None, by_slope, by_slope, f"{by_slope} is cheaper at every volume")
    cost = usd(build_fixed + volume * build_slope)
    if volume == 0:
        meaning = f"both cost the same at volume 0, above it {by_slope} is cheaper"
        return Crossover(ratio(volume), cost, by_slope, by_slope, meaning)
    meaning = f"{by_fixed} is cheaper below, {by_slope} above"
    return Crossover(ratio(volume), cost, by_fixed, by_slope, meaning)


def _product(*factors: Decimal | int) -> Fraction:
    result = Fraction(1)
    for factor in factors:
        result *= Fraction(factor)
    return result


def _lower(build: Fraction, buy: Fraction) -> Side:
    if build == buy:
        return "same"
    return "build" if build < buy else "buy"
