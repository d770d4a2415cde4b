"""What must hold whatever the figures are: checked against plain counting."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spendstream.domain.economics.breakeven import GpuSet, SelfHosting, breakeven
from spendstream.domain.economics.decisions import Build, Buy, Choice, Development, Lines, build_or_buy, crossover
from spendstream.domain.economics.exact import Cost
from spendstream.domain.economics.gpus import Demand, Gpu, HourlyPrice, Selection, effective_prices, select
from spendstream.domain.economics.projection import Growth, Scaling, project
from spendstream.domain.economics.returns import Batching, Caching, batching, caching
from spendstream.domain.economics.savings import CacheMeasure, Optimisation, TrimMeasure, rank
from spendstream.domain.economics.serving import BatchSizes, Measured, PromptCache, batch_size, prompt_cache
from spendstream.domain.economics.tco import Hidden, Ownership, Staff, tco
from spendstream.domain.economics.training import Compute, Strategy, Training, compare
from spendstream.domain.economics.usage_cost import Pattern, TokenPrice

amounts = st.integers(0, 200).map(Decimal)
positive = st.integers(1, 200).map(Decimal)
cents = st.integers(0, 10**6).map(lambda n: Decimal(n).scaleb(-2))
shares = st.integers(0, 100).map(lambda n: Decimal(n).scaleb(-2))
PICO = Decimal("1e-12")
unhurried = settings(deadline=None)  # counting takes as long as the machine has time for it


@unhurried
@given(st.integers(1, 6), amounts, st.integers(0, 60), st.integers(1, 40))
def test_break_even_is_where_counting_finds_it(capacity: int, fixed: Decimal, each: int, price: int) -> None:
    """0.9 × `price` dollars a request, `each` dollars a set, `capacity` requests a set."""
    plan = SelfHosting(
        gpu_set=GpuSet(gpus=Decimal(1), usd_per_hour=Decimal(each), tokens_per_second=Decimal(capacity),
                       hours_per_month=Decimal(1)),
        fixed=(Cost(name="f", usd=fixed),),
        tokens_per_request=Decimal(3_600),
        api_usd_per_million_tokens=Decimal(250 * price),
    )  # fmt: skip
    asked = Fraction(9 * price, 10)
    found = breakeven(plan)
    most = 4_000
    pays = [int(fixed) + -(-m // capacity) * each <= asked * m for m in range(1, most)]
    first = next((m for m, yes in enumerate(pays, 1) if yes), None)
    if found.from_requests is not None and found.from_requests < most:
        assert found.from_requests == first
    else:
        assert first is None
    if found.always_from_requests is not None and found.always_from_requests < most:
        assert all(pays[found.always_from_requests - 1 :])
        assert found.always_from_requests == 1 or not pays[found.always_from_requests - 2]


@unhurried
@given(amounts, amounts, amounts, amounts, st.integers(0, 10_000))
def test_below_and_above_the_crossing_the_cheaper_side_is_cheaper(
    build_fixed: Decimal, build_each: Decimal, buy_fixed: Decimal, buy_each: Decimal, volume: int
) -> None:
    found = crossover(
        Lines(build_fixed_usd=build_fixed, build_variable_usd=build_each, buy_fixed_usd=buy_fixed,
              buy_variable_usd=buy_each)
    )  # fmt: skip
    build, buy = build_fixed + volume * build_each, buy_fixed + volume * buy_each
    side = "same" if build == buy else "build" if build < buy else "buy"
    if found.volume is None:
        assert side == found.above or (volume == 0 and side == "same")
    elif abs(found.volume - volume) > PICO:
        assert side == (found.below if volume < found.volume else found.above)


@pytest.mark.parametrize(
    ("figures", "volume", "below", "above"),
    [
        ((100, 1, 0, 2), 100, "buy", "build"),
        ((0, 2, 100, 1), 100, "build", "buy"),
        ((0, 1, 100, 2), None, "build", "build"),
        ((100, 2, 0, 1), None, "buy", "buy"),
        ((0, 1, 0, 2), 0, "build", "build"),
        ((0, 2, 0, 1), 0, "buy", "buy"),
        ((0, 1, 100, 1), None, "build", "build"),
        ((100, 1, 0, 1), None, "buy", "buy"),
        ((100, 1, 100, 1), None, "same", "same"),
    ],
)
def test_every_case_of_signs(figures: tuple[int, ...], volume: int | None, below: str, above: str) -> None:
    names = ("build_fixed_usd", "build_variable_usd", "buy_fixed_usd", "buy_variable_usd")
    found = crossover(Lines(**dict(zip(names, map(Decimal, figures), strict=True))))
    assert (found.volume, found.below, found.above) == (volume, below, above)


@unhurried
@given(st.integers(1, 36), st.integers(0, 36), st.lists(amounts, min_size=1, max_size=40), positive, amounts)
def test_what_is_bought_is_counted_month_by_month(
    months: int, building: int, units: list[Decimal], each: Decimal, minimum: Decimal
) -> None:
    choice = Choice(
        months=months,
        build=Build(development=Development(months=building, people=Decimal(1), usd_per_month=Decimal(1))),
        buy=Buy(usd_per_unit=each, minimum_usd_per_month=minimum, units_per_month=tuple(units)),
    )
    if building > months:
        with pytest.raises(ValueError, match="nothing would run"):
            build_or_buy(choice)
        return
    bought = Decimal(0)
    for month in range(months):
        bought += max(minimum, each * (units[month] if month < len(units) else units[-1]))
    assert build_or_buy(choice).buy_usd == bought


gpus = st.builds(Gpu, name=st.sampled_from("abc"), requests_per_second=positive, p95_ms=positive, usd_per_month=amounts)


@unhurried
@given(st.lists(gpus, min_size=1, max_size=4), positive, positive, shares)
def test_chosen_gpus_carry_the_peak_with_not_one_to_spare_and_nothing_cheaper_fits(
    offered: list[Gpu], peak: Decimal, p95: Decimal, headroom: Decimal
) -> None:
    found = select(
        Selection(demand=Demand(requests_per_second=peak, p95_ms=p95, headroom=headroom), gpus=tuple(offered))
    )
    need = peak * (1 + headroom)
    costs = []
    for gpu in offered:
        count = next(n for n in range(1, 10**6) if n * gpu.requests_per_second >= need)
        if gpu.p95_ms < p95:
            costs.append(count * (gpu.usd_per_month or 0))
    assert found.monthly_usd == (min(costs) if costs else None)
    assert bool(found.best) == bool(costs)
    assert all(offer.fits == (not offer.reason) for offer in found.offers)


@unhurried
@given(st.lists(cents, max_size=4), st.lists(cents, max_size=3), st.lists(shares, max_size=3))
def test_items_add_up_to_the_total(direct: list[Decimal], people: list[Decimal], hidden: list[Decimal]) -> None:
    found = tco(
        Ownership(
            direct=tuple(Cost(name="d", usd=amount) for amount in direct),
            people=tuple(Staff(name="p", usd=amount) for amount in people),
            hidden=tuple(Hidden(name="h", share_of_direct=share) for share in hidden),
        )
    )
    assert sum(item.monthly_usd for item in found.items) == found.monthly_usd
    assert found.direct_usd + found.people_usd + found.hidden_usd == found.monthly_usd
    assert found.annual_usd == 12 * found.monthly_usd


@unhurried
@given(cents, cents, cents, st.integers(1, 1_000))
def test_economies_of_scale_lie_between_standing_still_and_growing_alike(
    fixed: Decimal, linear: Decimal, sublinear: Decimal, scale: int
) -> None:
    def at(exponent: str) -> Decimal:
        asked = Scaling(fixed_usd=fixed, linear_usd=linear, sublinear_usd=sublinear, exponent=Decimal(exponent),
                        scales=(Decimal(scale),))  # fmt: skip
        return project(asked).points[0].cost_usd

    assert fixed + linear * scale + sublinear <= at("0.7") <= at("1") == fixed + (linear + sublinear) * scale


@unhurried
@given(cents, st.integers(-50, 100), st.integers(1, 24))
def test_growth_is_compounded_month_by_month(linear: Decimal, percent: int, months: int) -> None:
    growth = Growth(per_month=Decimal(percent).scaleb(-2), months=months)
    found = project(Scaling(linear_usd=linear, growth=growth))
    cost, total = Fraction(linear), Fraction(0)
    for point in found.points[1:]:
        cost *= 1 + Fraction(percent, 100)
        total += cost
        assert abs(Fraction(point.cost_usd) - cost) <= Fraction(PICO)
    assert found.total_usd is not None
    assert abs(Fraction(found.total_usd) - total) <= Fraction(PICO)


@unhurried
@given(positive, positive, cents, st.integers(0, 5))
def test_a_cache_pays_exactly_from_its_break_even_hit_rate_on(
    requests: Decimal, each: Decimal, infrastructure: Decimal, lookup: int
) -> None:
    def net(rate: Decimal) -> Decimal:
        return caching(
            Caching(requests_per_month=requests, usd_per_request=each, hit_rate=rate,
                    usd_per_lookup=Decimal(lookup), infrastructure_usd_per_month=infrastructure)
        ).result.net_saving_usd  # fmt: skip

    found = caching(
        Caching(requests_per_month=requests, usd_per_request=each, hit_rate=Decimal(0), usd_per_lookup=Decimal(lookup),
                infrastructure_usd_per_month=infrastructure)
    )  # fmt: skip
    if found.breakeven_hit_rate <= 1:
        assert abs(net(found.breakeven_hit_rate)) <= requests * each * PICO
        assert net(Decimal(1)) >= 0
    else:
        assert net(Decimal(1)) < 0


@unhurried
@given(amounts, shares, shares, amounts, amounts, st.integers(1, 60))
def test_a_return_is_worth_it_when_more_comes_back_than_goes_in(
    spend: Decimal, eligible: Decimal, discount: Decimal, overhead: Decimal, invested: Decimal, months: int
) -> None:
    found = batching(
        Batching(usd_per_month=spend, eligible_share=eligible, discount=discount, overhead_usd_per_month=overhead,
                 implementation_usd=invested, months=months)
    )  # fmt: skip
    left = -invested
    for _ in range(months):
        left += spend * eligible * discount - overhead
    assert (found.net_over_all_months_usd, found.worth_it) == (left, left > 0)
    assert (found.payback_months is not None) == (found.net_saving_usd > 0)


@unhurried
@given(shares, shares, st.booleans())
def test_the_order_in_which_measures_are_given_changes_nothing(cache: Decimal, trim: Decimal, turned: bool) -> None:
    price = TokenPrice(input=Decimal(3), output=Decimal(15))
    traffic = Pattern(name="t", requests=Decimal(7), input_tokens=Decimal(11), output_tokens=Decimal(13),
                      usd_per_million_tokens=price)  # fmt: skip
    one, other = CacheMeasure(kind="cache", name="c", share=cache), TrimMeasure(kind="trim", name="t", share=trim)
    found = rank(Optimisation(traffic=traffic, measures=(other, one) if turned else (one, other)))
    assert found == rank(Optimisation(traffic=traffic, measures=(one, other)))
    assert sum(step.in_sequence_usd for step in found.steps) == found.saved_usd <= found.alone_usd
    assert found.before_usd - found.saved_usd == found.after_usd


@unhurried
@given(st.lists(st.tuples(amounts, amounts, shares), min_size=1, max_size=4), st.integers(1, 24), shares)
def test_the_best_strategy_is_the_cheapest_that_is_good_enough(
    ways: list[tuple[Decimal, Decimal, Decimal]], months: int, enough: Decimal
) -> None:
    strategies = tuple(
        Strategy(name=str(i), compute=Compute(gpu_hours=hours), usd_per_gpu_hour=Decimal(2),
                 inference_usd_per_month=inference, quality=quality)
        for i, (hours, inference, quality) in enumerate(ways)
    )  # fmt: skip
    found = compare(Training(months=months, minimum_quality=enough, strategies=strategies))
    good = [2 * hours + months * inference for hours, inference, quality in ways if quality >= enough]
    assert found.total_usd == (min(good) if good else None)
    for line in found.strategies:
        more = 2 * ways[int(line.strategy)][0] - 2 * ways[0][0]
        less = ways[0][1] - ways[int(line.strategy)][1]
        if line.payback_months is None:
            assert less < 0 or more > 0 == less
        else:
            assert line.payback_months * less >= more
            assert line.payback_months <= 0 or (line.payback_months - 1) * less < more


@unhurried
@given(positive, positive, st.integers(0, 40), st.integers(80, 300), st.integers(0, 99))
def test_a_prompt_cache_pays_from_its_break_even_on(
    requests: Decimal, tokens: Decimal, reads: int, write: int, read: int
) -> None:
    found = prompt_cache(
        PromptCache(requests_per_month=requests, prefix_tokens=tokens, usd_per_million_input_tokens=Decimal(3),
                    reads_per_write=Decimal(reads), write_multiplier=Decimal(write).scaleb(-2),
                    read_multiplier=Decimal(read).scaleb(-2))
    )  # fmt: skip
    together = write + reads * read
    assert found.worth_it == (together < 100 * (1 + reads))
    if abs(found.breakeven_reads_per_write - reads) > PICO and write > 100:
        assert found.worth_it == (reads > found.breakeven_reads_per_write)


@unhurried
@given(st.lists(st.tuples(st.integers(1, 64), positive, positive), min_size=1, max_size=5), positive)
def test_no_batch_size_that_is_fast_enough_is_cheaper_than_the_best(
    sizes: list[tuple[int, Decimal, Decimal]], p95: Decimal
) -> None:
    found = batch_size(
        BatchSizes(usd_per_hour=Decimal(4), p95_ms=p95, tokens_per_month=Decimal(10**9),
                   sizes=tuple(Measured(size=n, tokens_per_second=t, p95_ms=p) for n, t, p in sizes))
    )  # fmt: skip
    fast = [(-throughput, size) for size, throughput, latency in sizes if latency < p95]
    assert found.best == (min(fast)[1] if fast else None)
    assert found.sizes[0].saving_usd == 0


def test_effective_price_is_the_price_over_the_utilisation() -> None:
    found = effective_prices(HourlyPrice(usd_per_hour=Decimal("2.5"), utilisation=(Decimal("0.3"),)))
    assert found.prices[0].effective_usd_per_hour == Decimal("8.333333333333")


@pytest.mark.parametrize(
    "wrong", [{"usd": 0.1}, {"usd": True}, {"usd": "-1"}, {"usd": 1, "quantity": 1}, {}, {"usd": "NaN"}]
)
def test_inexact_negative_or_contradictory_costs_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Cost.model_validate({"name": "x", **wrong})
