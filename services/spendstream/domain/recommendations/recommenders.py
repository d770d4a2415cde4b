"""Recommenders: profile → proposal or None, pure. A proposal spells out its arithmetic and cites only what it queried.

Nothing is said before there is enough to say it about: MIN_DAYS of event time, MIN_REQUESTS requests and a saving of
`floor` a month.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from spendstream.domain.money import PICO_PER_USD
from spendstream.domain.recommendations.candidates import Candidate
from spendstream.domain.recommendations.evidence import repeats_query, traffic_query
from spendstream.domain.recommendations.profiles import DAY_MICROS, MINUTE_MICROS, Profile, monthly
from spendstream.domain.recommendations.prompts import PromptProfile
from spendstream.domain.recommendations.sequence import Route
from spendstream.domain.wording import count, usd

# (provider, model, tokens by bucket, requests) → pico-dollars at list price, or None when there is no complete price.
Reprice = Callable[[str, str, dict[str, int], int], int | None]
Level = Literal["low", "medium", "high"]

MIN_DAYS: Final = 3
MIN_REQUESTS: Final = 500
MIN_REPEAT_SHARE: Final = 0.05
FLOOR_PICO: Final = 20 * PICO_PER_USD  # a month
SHORT_INPUT_TOKENS: Final = 2_000  # mean per request up to which traffic counts as short
SHORT_OUTPUT_TOKENS: Final = 500
# Per cent of short traffic that a cheaper model is expected to serve well; low and high are the ends of the range.
_ROUTED: Final = (30, 60, 90)
# Per cent of repeats that a cache is expected to answer: some answers must be fresh, some entries are evicted.
_ANSWERED: Final = (60, 85, 100)


@dataclass(frozen=True)
class Proposal:
    """What a recommender says. Money: pico-dollars in 30 days, (low, expected, high)."""

    kind: str
    target: Mapping[str, str]
    title: str
    explanation: str
    query: str
    evidence: Mapping[str, str]
    savings: tuple[int, int, int]
    confidence: float
    effort: Level
    risk: Level
    route: Route | None = None  # how it changes a bill, where the savings alone do not say


def model_downgrade(
    profile: Profile, reprice: Reprice, candidates: Iterable[Candidate], floor: int = FLOOR_PICO
) -> Proposal | None:
    """Short traffic on a premium model: the same tokens priced on the cheapest candidate."""
    if not _enough(profile.since, profile.until, profile.requests) or not _is_short(profile):
        return None
    here = (profile.target.provider, profile.target.model)
    offers = [
        (price, candidate)
        for candidate in candidates
        if (candidate.provider, candidate.model) == here and (price := _price(candidate, profile, reprice)) is not None
    ]
    if not offers:
        return None
    price, candidate = min(offers, key=lambda offer: (offer[0], offer[1].to_provider, offer[1].to_model))
    if _shares(monthly(profile.cost - price, profile.since, profile.until), _ROUTED)[1] < floor:
        return None
    return _downgrade(profile, candidate, price, _route(profile, candidate, price, reprice))


def _downgrade(profile: Profile, candidate: Candidate, price: int, route: Route) -> Proposal:
    target, requests = profile.target, profile.requests
    mean_input, mean_output = profile.input_tokens() / requests, profile.output_tokens() / requests
    all_moved = monthly(profile.cost - price, profile.since, profile.until)
    low, expected, high = _shares(all_moved, _ROUTED)
    to, where = f"{candidate.to_provider}/{candidate.to_model}", _where(target._asdict())
    days, factor = _period(profile.since, profile.until)
    explanation = (
        f"In {days} {count(profile.requests)} requests of {where} on {target.model} cost {usd(profile.cost)}; "
        f"they are short: {count(round(mean_input))} tokens in, {count(round(mean_output))} out on average. "
        f"The same tokens on {to} cost {usd(price)}. "
        f"All of it moved saves ({usd(profile.cost)} − {usd(price)}) × {factor} = {usd(all_moved)} a month; "
        f"{_ROUTED[1]} % of it {usd(expected)} ({_ROUTED[0]} %: {usd(low)}, {_ROUTED[2]} %: {usd(high)})."
    )
    evidence = {
        "requests": str(profile.requests),
        "input_tokens": str(profile.input_tokens()),
        "output_tokens": str(profile.output_tokens()),
        "cost_pico_usd": str(profile.cost),
        "candidate": to,
        "candidate_cost_pico_usd": str(price),
        "since": str(profile.since),
        "until": str(profile.until),
    }
    return Proposal(
        kind="model_downgrade",
        target={name: value for name, value in target._asdict().items() if name != "org"},
        title=f"Route short requests of {where} from {target.model} to {candidate.to_model}: {usd(expected)} a month",
        explanation=explanation,
        query=traffic_query(profile),
        evidence=evidence,
        savings=(low, expected, high),
        confidence=_confidence(profile.since, profile.until, 0.7),
        effort="medium",
        risk=candidate.risk,
        route=route,
    )


def exact_cache(profile: PromptProfile, floor: int = FLOOR_PICO) -> Proposal | None:
    """The same prompts again within a day: what an exact cache would have answered."""
    if not _enough(profile.since, profile.until, profile.requests) or profile.repeat_share < MIN_REPEAT_SHARE:
        return None
    everything = monthly(profile.repeat_cost, profile.since, profile.until)
    low, expected, high = _shares(everything, _ANSWERED)
    if expected < floor:
        return None
    where, (days, factor) = _where(profile.target._asdict()), _period(profile.since, profile.until)
    sampled = "" if profile.sampling == 1 else f" (estimated from one in {profile.sampling} prompts)"
    explanation = (
        f"In {days} {count(profile.repeats)} of {count(profile.requests)} requests of {where} on "
        f"{profile.target.model} ({profile.repeat_share:.1%}) repeated a prompt of the 24 hours before{sampled}; "
        f"the repeats cost {usd(profile.repeat_cost)}. All of them answered from a cache saves "
        f"{usd(profile.repeat_cost)} × {factor} = {usd(everything)} a month; "
        f"{_ANSWERED[1]} % of them {usd(expected)} ({_ANSWERED[0]} %: {usd(low)})."
    )
    evidence = {
        "requests": str(profile.requests),
        "cost_pico_usd": str(profile.cost),
        "repeats": str(profile.repeats),
        "repeat_cost_pico_usd": str(profile.repeat_cost),
        "sampling": str(profile.sampling),
        "since": str(profile.since),
        "until": str(profile.until),
    }
    return Proposal(
        kind="exact_cache",
        target={name: value for name, value in profile.target._asdict().items() if name != "org"},
        title=f"Cache repeated prompts of {where} on {profile.target.model}: {usd(expected)} a month",
        explanation=explanation,
        query=repeats_query(profile),
        evidence=evidence,
        savings=(low, expected, high),
        confidence=_confidence(profile.since, profile.until, 0.9 if profile.sampling == 1 else 0.8),
        effort="low",
        risk="low",
    )


def _is_short(profile: Profile) -> bool:
    short_input = profile.input_tokens() <= SHORT_INPUT_TOKENS * profile.requests
    return short_input and profile.output_tokens() <= SHORT_OUTPUT_TOKENS * profile.requests


def _shares(amount: int, per_cent: tuple[int, int, int]) -> tuple[int, int, int]:
    low, expected, high = (amount * share // 100 for share in per_cent)
    return low, expected, high


def _price(candidate: Candidate, profile: Profile, reprice: Reprice) -> int | None:
    return reprice(candidate.to_provider, candidate.to_model, dict(profile.tokens), profile.requests)


def _route(profile: Profile, candidate: Candidate, price: int, reprice: Reprice) -> Route:
    """The expected share moved, with input and output apart where both can be priced, else at one ratio."""
    inputs = {bucket: n if bucket.startswith("input_") else 0 for bucket, n in profile.tokens.items()}
    here = reprice(profile.target.provider, profile.target.model, inputs, profile.requests)
    there = reprice(candidate.to_provider, candidate.to_model, inputs, profile.requests)
    share, whole = Fraction(_ROUTED[1], 100), Fraction(price, profile.cost)
    if here is None or there is None or not 0 < here < profile.cost:
        return Route(share, whole, whole)
    return Route(share, Fraction(there, here), Fraction(price - there, profile.cost - here))


def _enough(since: int, until: int, requests: int) -> bool:
    return until - since >= MIN_DAYS * DAY_MICROS and requests >= MIN_REQUESTS


def _confidence(since: int, until: int, ceiling: float) -> float:
    """Grows with the days seen: half of `ceiling` at none, all of it at fourteen."""
    return round(ceiling * (0.5 + 0.5 * min(until - since, 14 * DAY_MICROS) / (14 * DAY_MICROS)), 2)


def _period(since: int, until: int) -> tuple[str, str]:
    """The window in words, and the factor that makes a month of it, to the minute: anyone can recompute it."""
    minutes = max(until - since, DAY_MICROS) // MINUTE_MICROS
    return f"{minutes / 1440:.1f} days", f"{count(30 * 1440)} / {count(minutes)} minutes"


def _where(target: Mapping[str, str]) -> str:
    return "/".join(target[name] for name in ("team", "service", "feature") if target.get(name))
