"""The arithmetic of a bill, exact in int64, with Python integers for the few rows that are too large for it."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from spendstream.domain.prices.table import SAFE, Ints, RateTable
from spendstream.domain.tokens import BUCKETS, Mask, Normalised

MAX_AMOUNT: Final = 2**63 - 1

Bits = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Amounts:
    """Row for row: what it costs (pico-dollars; 0 where it does not fit), and whether all of it could be billed."""

    pico_usd: Ints
    overflow: Mask
    some_class_missing: Mask  # tokens of a class without a price


def bill(table: RateTable, segment: Ints, tokens: Normalised) -> Amounts:
    """Σ tokens × pico per token + requests × fee, × factor, rounded once, half-even (semantics.md, Pricing 3–7)."""
    row = _rate_rows(table, segment, tokens)
    columns = [(counts, table.row_pico[i]) for i, name in enumerate(BUCKETS) if (counts := tokens.buckets[name]).any()]
    amount = np.zeros(len(segment), np.int64)
    for counts, pico in columns:
        amount += counts * pico[row]
    if table.segment_fee.any():
        amount += tokens.requests * table.segment_fee[segment]
    large = _too_large(table, segment, row, tokens)
    amount = _scaled(amount, table, segment)
    overflow = np.zeros(len(segment), bool)
    for i in np.flatnonzero(large):
        exact = _exactly(table, int(segment[i]), int(row[i]), tokens, int(i))
        overflow[i] = exact > MAX_AMOUNT
        amount[i] = 0 if overflow[i] else exact
    return Amounts(amount, overflow, _missing(table, row, tokens))


def _rate_rows(table: RateTable, segment: Ints, tokens: Normalised) -> Ints:
    """Step 3: the rate row of the highest context tier that input per request exceeds."""
    row = table.segment_row[segment]
    if not table.segment_above:
        return row
    requests = tokens.requests
    per_request = tokens.input_total
    if (requests > 1).any():  # ceil(a / b) > n is a / b > n for whole n
        per_request = -(-per_request // np.maximum(requests, 1))
    for above in table.segment_above:
        row += per_request > above[segment]
    return row


def _scaled(amount: Ints, table: RateTable, segment: Ints) -> Ints:
    """amount × numerator / denominator, half-even; rows too large for 64 bits come out wrong and are redone."""
    if not table.scales:
        return amount
    numerator, denominator = table.segment_numerator[segment], table.segment_denominator[segment]
    if (numerator == 1).all() and (denominator == 1).all():
        return amount
    whole, rest = np.divmod(amount, denominator)
    more, remainder = np.divmod(rest * numerator, denominator)
    scaled = whole * numerator + more
    # remainder < denominator < 2^62, so twice it fits.
    doubled = 2 * remainder
    scaled += (doubled > denominator) | ((doubled == denominator) & (scaled % 2 == 1))
    return scaled


def _too_large(table: RateTable, segment: Ints, row: Ints, tokens: Normalised) -> Mask:
    """Rows whose arithmetic may leave int64. Almost always none, and one bound over the batch says so."""
    priced = [(tokens.buckets[name], pico) for name, pico in zip(BUCKETS, table.row_pico, strict=True)]
    priced.append((tokens.requests, table.segment_fee))
    most = max(1.0, float(table.segment_scale.max(initial=1.0)))
    bound = sum(int(counts.max(initial=0)) * int(pico.max(initial=0)) for counts, pico in priced)
    if bound * most < SAFE and not table.segment_wide.any():
        return np.zeros(len(segment), bool)
    estimate = tokens.requests * table.segment_fee.astype(np.float64)[segment]
    for counts, pico in priced[:-1]:
        estimate += counts * pico.astype(np.float64)[row]
    scaled = estimate * table.segment_scale[segment]
    large: Mask = (estimate >= SAFE) | (scaled >= SAFE) | table.segment_wide[segment]
    return large


def _exactly(table: RateTable, segment: int, row: int, tokens: Normalised, i: int) -> int:
    amount = int(tokens.requests[i]) * int(table.segment_fee[segment])
    for name, pico in zip(BUCKETS, table.row_pico, strict=True):
        amount += int(tokens.buckets[name][i]) * int(pico[row])
    return round(Fraction(amount) * table.segment_factor[segment])  # Fraction rounds half to even


def _missing(table: RateTable, row: Ints, tokens: Normalised) -> Mask:
    """Rows with tokens of a class without a price."""
    none = np.zeros(len(row), bool)
    if not table.row_missing.any():
        return none
    without = table.row_missing[row]
    if not without.any():
        return none
    used: Bits = np.zeros(len(row), np.uint16)
    for i, name in enumerate(BUCKETS):
        used |= (tokens.buckets[name] > 0).astype(np.uint16) << np.uint16(i)
    some: Mask = (used & without) != 0
    return some
