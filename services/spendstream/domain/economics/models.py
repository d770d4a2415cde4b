"""All models of the toolkit by name: what each takes, and the function that works it out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from spendstream.domain.economics import (
    breakeven,
    decisions,
    gpus,
    projection,
    returns,
    savings,
    serving,
    tco,
    training,
)
from spendstream.domain.economics.exact import Document
from spendstream.domain.economics.usage_cost import Patterns, usage_cost


@dataclass(frozen=True)
class Model:
    """`work_out` takes a `document` and gives a frozen dataclass; `ValueError` says what cannot be."""

    document: type[Document]
    work_out: Callable[[Any], Any]


MODELS: Final[Mapping[str, Model]] = {
    "batch-size": Model(serving.BatchSizes, serving.batch_size),
    "batching": Model(returns.Batching, returns.batching),
    "breakeven": Model(breakeven.SelfHosting, breakeven.breakeven),
    "build-vs-buy": Model(decisions.Choice, decisions.build_or_buy),
    "caching": Model(returns.Caching, returns.caching),
    "cost": Model(Patterns, usage_cost),
    "crossover": Model(decisions.Lines, decisions.crossover),
    "gpu-price": Model(gpus.HourlyPrice, gpus.effective_prices),
    "gpu-select": Model(gpus.Selection, gpus.select),
    "project": Model(projection.Scaling, projection.project),
    "prompt-cache": Model(serving.PromptCache, serving.prompt_cache),
    "roi": Model(returns.Tracking, returns.track),
    "savings": Model(savings.Optimisation, savings.rank),
    "tco": Model(tco.Ownership, tco.tco),
    "training": Model(training.Training, training.compare),
}
