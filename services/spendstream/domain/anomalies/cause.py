"""Why a series costs what it costs: volume, output length, input length, cache and price effects (domain.md §6).

Cost is requests × (tokens per request × price per token). Class prices are not on the deltas, so they are calibrated
from the normal request with the proportions common to the list prices of domain.md §3: output 5×, cache read 0.1×,
cache write 1.25× of the input price. Whatever tokens then do not explain is a price effect, so the effects always add
up to the change, to the pico-dollar.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from spendstream.domain.anomalies.columns import CACHE_READ, CACHE_WRITE, COST, INPUT, OUTPUT, REQUESTS
from spendstream.domain.anomalies.series import Floats
from spendstream.domain.wording import count, usd

_INPUTS: Final = [INPUT, CACHE_READ, CACHE_WRITE]
_INPUT_WEIGHTS: Final = np.array([1.0, 0.1, 1.25])
_OUTPUT_WEIGHT: Final = 5.0


@dataclass(frozen=True)
class Cause:
    """Effects in pico-dollars per hour, largest first; they add up to observed − expected. `text` names the largest."""

    effects: tuple[tuple[str, int], ...]
    text: str

    def breakdown(self) -> str:
        """`output length +$30.10/h, volume +$2.00/h`: the effects of at least a hundredth of the largest."""
        floor = abs(self.effects[0][1]) // 100
        told = [
            f"{name} {'+' if effect > 0 else ''}{usd(effect)}/h"
            for name, effect in self.effects
            if effect and abs(effect) >= floor
        ]
        return ", ".join(told)


def explain(normal: Floats, observed: Floats, hours: float, expected_per_hour: float, model: str) -> Cause:
    """Effects that turn the expected hour into the observed one.

    `normal` and `observed` are FEATURES sums (money in pico-dollars) of ordinary traffic and of the last `hours`;
    `expected_per_hour` pico-dollars, at the normal cost per request.
    """
    before = normal / max(normal[REQUESTS], 1.0)
    after = observed / max(observed[REQUESTS], 1.0)
    requests_before = expected_per_hour / before[COST] if before[COST] > 0 else 0.0
    requests_after = float(observed[REQUESTS]) / hours
    total = float(observed[COST]) / hours - expected_per_hour

    input_before, input_after = before[_INPUTS].sum(), after[_INPUTS].sum()
    weight_before = float(_INPUT_WEIGHTS @ before[_INPUTS]) / max(input_before, 1e-12)
    weighted = float(_INPUT_WEIGHTS @ before[_INPUTS]) + _OUTPUT_WEIGHT * before[OUTPUT]
    price = before[COST] / weighted if weighted > 0 else 0.0
    per_request = {
        "output length": price * _OUTPUT_WEIGHT * (after[OUTPUT] - before[OUTPUT]),
        "input length": price * weight_before * (input_after - input_before),
        "cache": price * (float(_INPUT_WEIGHTS @ after[_INPUTS]) - weight_before * input_after),
    }
    effects = {"volume": round((requests_after - requests_before) * before[COST])}
    effects |= {name: round(requests_after * effect) for name, effect in per_request.items()}
    effects["price"] = round(total) - sum(effects.values())
    ranked = tuple(sorted(effects.items(), key=lambda item: (-item[1] if total >= 0 else item[1], item[0])))
    text = _sentence(ranked[0][0], before, after, (requests_before, requests_after), model)
    return Cause(ranked, text)


def _sentence(effect: str, before: Floats, after: Floats, requests: tuple[float, float], model: str) -> str:
    if effect == "volume":
        return f"requests on {model} went from {count(round(requests[0]))}/h to {count(round(requests[1]))}/h"
    if effect == "output length":
        return f"output tokens per request on {model} went from {_tokens(before[OUTPUT])} to {_tokens(after[OUTPUT])}"
    if effect == "input length":
        went = f"{_tokens(before[_INPUTS].sum())} to {_tokens(after[_INPUTS].sum())}"
        return f"input tokens per request on {model} went from {went}"
    if effect == "cache":
        return f"cached share of the input on {model} went from {_cached(before):.0%} to {_cached(after):.0%}"
    return f"a request on {model} costs {usd(round(after[COST]))} instead of {usd(round(before[COST]))} for like tokens"


def _tokens(mean: float) -> str:
    return count(round(mean)) if mean >= 10 else count(float(mean))


def _cached(per_request: Floats) -> float:
    return float(per_request[CACHE_READ] / max(per_request[_INPUTS].sum(), 1e-12))
