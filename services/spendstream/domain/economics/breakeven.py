"""Self-hosting against an API: capacity first, then cost (domain.md §8).

Self-hosting costs F + n × G a month for n sets of GPUs, one set serves C requests a month, the API asks p a request.
n sets can be cheaper only where the volume they serve pays for them: v = (F + n G) / p ≤ n C. As each set adds
C p − G, that first happens at n = ⌈F / (C p − G)⌉, and never when a full set replaces less API than its GPUs cost.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from spendstream.domain.economics.exact import (
    HOURS_A_MONTH,
    MILLION,
    SECONDS_AN_HOUR,
    Amount,
    Cost,
    Document,
    Positive,
    Share,
    ceiling,
    usd,
)


class GpuSet(Document):
    """The smallest number of GPUs that serves the model, and what it serves at full load."""

    gpus: Positive
    usd_per_hour: Amount
    tokens_per_second: Positive
    utilisation: Share = Decimal(1)
    hours_per_month: Positive = HOURS_A_MONTH


class SelfHosting(Document):
    """Input of `breakeven`. `tokens_per_request`: those the API bills at `api_usd_per_million_tokens`."""

    gpu_set: GpuSet
    fixed: tuple[Cost, ...] = ()
    tokens_per_request: Positive
    api_usd_per_million_tokens: Positive
    requests_per_month: Amount | None = None


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Volumes are requests a month. `naive_requests` forgets that GPUs have a capacity.

    `from_requests`: the smallest volume at which self-hosting costs no more than the API, with `sets` sets; from
    `always_from_requests` on it stays so, also right after a set is added. Both are None when the verdict is `never`.
    The last four say what the given demand needs; None without one.
    """

    verdict: Literal["breaks even", "never"]
    reason: str
    fixed_usd: Decimal
    set_usd: Decimal
    one_set_usd: Decimal
    api_per_request_usd: Decimal
    set_capacity_requests: int
    set_replaces_api_usd: Decimal
    naive_requests: int
    from_requests: int | None
    sets: int | None
    always_from_requests: int | None
    demand_sets: int | None
    demand_self_hosted_usd: Decimal | None
    demand_api_usd: Decimal | None
    demand_cheaper: Literal["self-host", "api", "same"] | None


def breakeven(plan: SelfHosting) -> BreakEven:
    """Where self-hosting pays, as a step function over sets of GPUs. `ValueError` when a set serves nothing."""
    gpus = plan.gpu_set
    hours = Fraction(gpus.hours_per_month)
    fixed = sum((cost.monthly for cost in plan.fixed), Fraction(0))
    each = Fraction(gpus.gpus) * Fraction(gpus.usd_per_hour) * hours
    tokens = Fraction(gpus.tokens_per_second) * Fraction(gpus.utilisation) * hours * SECONDS_AN_HOUR
    capacity = int(tokens / Fraction(plan.tokens_per_request))
    if capacity == 0:
        raise ValueError("gpu_set serves less than one request a month: tokens_per_second or utilisation is too low")
    price = Fraction(plan.tokens_per_request) * Fraction(plan.api_usd_per_million_tokens) / MILLION
    gain = capacity * price - each
    naive = ceiling((fixed + each) / price)
    first = _first(fixed, each, gain, price)
    demand = _demand(plan, fixed, each, capacity, price)
    return BreakEven(
        verdict="breaks even" if first else "never",
        reason=_reason(first, naive, capacity, gain),
        fixed_usd=usd(fixed),
        set_usd=usd(each),
        one_set_usd=usd(fixed + each),
        api_per_request_usd=usd(price),
        set_capacity_requests=capacity,
        set_replaces_api_usd=usd(capacity * price),
        naive_requests=naive,
        from_requests=first[1] if first else None,
        sets=first[0] if first else None,
        always_from_requests=_always(fixed, each, gain, capacity, price) if first else None,
        demand_sets=demand[0] if demand else None,
        demand_self_hosted_usd=usd(demand[1]) if demand else None,
        demand_api_usd=usd(demand[2]) if demand else None,
        demand_cheaper=_cheaper(demand[1], demand[2]) if demand else None,
    )


def _first(fixed: Fraction, each: Fraction, gain: Fraction, price: Fraction) -> tuple[int, int] | None:
    """Sets and requests of the first volume that pays; `gain` is what one more full set saves."""
    if gain < 0 or (gain == 0 and fixed > 0):
        return None
    sets = max(1, ceiling(fixed / gain)) if gain else 1
    return sets, max(1, ceiling((fixed + sets * each) / price))


def _always(fixed: Fraction, each: Fraction, gain: Fraction, capacity: int, price: Fraction) -> int | None:
    """The volume from which on it pays for good, also with the first request of one more set.

    Step n begins at (n − 1) C + 1 requests and does not pay there while n × gain < F + (C − 1) p.
    """
    if gain <= 0:
        return None
    last = ceiling((fixed + (capacity - 1) * price) / gain) - 1  # the last step that does not pay from its start
    if last < 1:
        return 1
    return min(ceiling((fixed + last * each) / price), last * capacity + 1)


def _reason(first: tuple[int, int] | None, naive: int, capacity: int, gain: Fraction) -> str:
    if first is None:
        beyond = (
            f"the naive {naive:,} requests are beyond the {capacity:,} a set serves, and " if naive > capacity else ""
        )
        return f"{beyond}a full set replaces ${usd(-gain):,.2f} less API a month than its GPUs cost"
    if first[0] == 1:
        return "one set pays within its capacity"
    return f"one set cannot carry the fixed cost within its capacity of {capacity:,}; {first[0]} sets can"


def _demand(
    plan: SelfHosting, fixed: Fraction, each: Fraction, capacity: int, price: Fraction
) -> tuple[int, Fraction, Fraction] | None:
    if plan.requests_per_month is None:
        return None
    wanted = Fraction(plan.requests_per_month)
    sets = max(1, ceiling(wanted / capacity))
    return sets, fixed + sets * each, wanted * price


def _cheaper(own: Fraction, api: Fraction) -> Literal["self-host", "api", "same"]:
    if own == api:
        return "same"
    return "self-host" if own < api else "api"
