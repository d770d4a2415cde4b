"""The sanity bound: a price that moves by orders of magnitude is a slip of the decimal point until someone insists."""

from collections.abc import Iterator

from spendstream.domain.prices.documents import DocumentError
from spendstream.domain.prices.model import GpuPrice, ModelPrice, Rates

DEFAULT_FACTOR = 100


def check_change(
    old: ModelPrice | GpuPrice, new: ModelPrice | GpuPrice, factor: int = DEFAULT_FACTOR
) -> list[DocumentError]:
    """What in `new` is more than `factor` times dearer or cheaper than in `old`, the version before it.

    Falling to zero is beyond any factor; a class that was free or without a price may take any. A price that turned
    from a model's into a GPU's is refused whole; figures in two currencies are not compared.
    """
    if isinstance(old, GpuPrice) and isinstance(new, GpuPrice):
        before, after = {"usd_per_hour": old.pico_usd_per_hour}, {"usd_per_hour": new.pico_usd_per_hour}
    elif isinstance(old, ModelPrice) and isinstance(new, ModelPrice):
        if old.currency != new.currency:
            return []
        before, after = dict(_prices(old.rates)), dict(_prices(new.rates))
    else:
        return [DocumentError("", "was the price of a model and is now a GPU's, or the other way round")]
    return [
        DocumentError(path, f"changes by more than {factor} times, from {before[path]} to {pico} pico-dollars a unit")
        for path, pico in after.items()
        if before.get(path) and not before[path] <= pico * factor <= before[path] * factor**2
    ]


def _prices(rates: Rates) -> Iterator[tuple[str, int]]:
    yield "usd_per_request", rates.pico_per_request
    for name, pico in rates.pico_per_token.items():
        yield f"usd_per_million_tokens.{name}", pico
    for i, tier in enumerate(rates.context_tiers):
        for name, pico in tier.pico_per_token.items():
            yield f"context_tiers[{i}].usd_per_million_tokens.{name}", pico
