"""Charges rated once more, by the prices of now."""

import numpy as np
import polars as pl

from spendstream.domain.corrections import differences
from spendstream.domain.prices import UNPRICED_REASONS
from spendstream.domain.tokens import BUCKETS, REPORTED, Normalised, normalise
from spendstream.rating import Prices


def changes(charges: pl.DataFrame, prices: Prices) -> pl.DataFrame:
    """What `prices` would change about charges as `charges.read` gives them (`domain.corrections.differences`).

    A charge holds disjoint buckets, which mean to the book what the event itself meant, and the names the event said:
    a later price may be about what was only an alias when the charge was rated.
    """
    size = charges.height
    normalised = Normalised(
        buckets={bucket: charges[f"{bucket}_tokens"].to_numpy() for bucket in BUCKETS},
        requests=charges["requests"].to_numpy(),
        rejected=np.zeros(size, dtype=bool),
        reason=np.zeros(size, dtype=np.int8),
        token_mismatch=np.zeros(size, dtype=np.int64),
    )
    said = charges.with_columns(service_tier="tier", provider="reported_provider", model="reported_model")
    return differences(charges, prices.rate(said, normalised))


def is_known(org: str, provider: str, model: str, prices: Prices) -> bool:
    """Whether any price, for whatever time, tier or region, is about a model."""
    names = {
        "org": org,
        "provider": provider,
        "model": model,
        "service_tier": "",
        "region": "",
        "convention": "disjoint",
    }
    call = pl.DataFrame([{**names, "occurred_at": 0, "cache_hit": False, "requests": 1, **dict.fromkeys(REPORTED, 0)}])
    return UNPRICED_REASONS[prices.rate(call, normalise(call)).unpriced_reason[0]] != "model"
