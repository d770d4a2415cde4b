"""Prices: documents and the catalogue, compiled into a book that rates batches of usage exactly (domain.md §3)."""

from spendstream.domain.prices.book import (
    PARTIAL,
    PRICED,
    REJECTED,
    STATUSES,
    UNPRICED,
    PriceBook,
    Rated,
)
from spendstream.domain.prices.cards import RateCard, rate_card
from spendstream.domain.prices.catalogue import Catalogue, Conflict, Resolved
from spendstream.domain.prices.change import check_change
from spendstream.domain.prices.combinations import Coded
from spendstream.domain.prices.currency import FxRate, FxRates, parse_fx_rate
from spendstream.domain.prices.documents import DocumentError, ParsedPrice, parse_price
from spendstream.domain.prices.model import (
    ALWAYS,
    CLASSES,
    STANDARD,
    ContextTier,
    GpuPrice,
    ModelPrice,
    PriceRevision,
    Rates,
    ServiceTier,
)
from spendstream.domain.prices.timeline import UNPRICED_REASONS

__all__ = [
    "ALWAYS",
    "CLASSES",
    "PARTIAL",
    "PRICED",
    "REJECTED",
    "STANDARD",
    "STATUSES",
    "UNPRICED",
    "UNPRICED_REASONS",
    "Catalogue",
    "Coded",
    "Conflict",
    "ContextTier",
    "DocumentError",
    "FxRate",
    "FxRates",
    "GpuPrice",
    "ModelPrice",
    "ParsedPrice",
    "PriceBook",
    "PriceRevision",
    "RateCard",
    "Rated",
    "Rates",
    "Resolved",
    "ServiceTier",
    "check_change",
    "parse_fx_rate",
    "parse_price",
    "rate_card",
]
