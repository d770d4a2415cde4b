"""From charges as they stand and what they cost by another price book to corrections.

    correction = cost by the book − cost as it stands, and the status that goes with it

A charge whose cost and status stay is not corrected, also where another price now says the same.
"""

from typing import Final

import polars as pl

from spendstream.domain.prices import STATUSES, UNPRICED_REASONS, Rated
from spendstream.domain.rollups import MOST

CODES: Final = {name: code for code, name in enumerate(STATUSES)}
PRICED, PARTIAL, UNPRICED, REJECTED = STATUSES


def differences(charges: pl.DataFrame, rated: Rated) -> pl.DataFrame:
    """Charges that would change, with what they change to.

    `charges`: any columns, with `cost_pico_usd`, `status`, `price_id` and `revision` as they stand; `rated`: the same
    rows by another book. Out come the charges' columns with `revision` one up, `cost_before_pico_usd`, `cost_pico_usd`
    (what is added), `status_before`, `status_after`, `unpriced_reason_after`, `price_id_before`, `price_id_after` and
    the changes of `priced_events`, `partial_events`, `unpriced_events`. An amount that does not fit 64 bits by the
    book (or a minute's sum) changes nothing.
    """
    both = charges.rename(
        {"cost_pico_usd": "cost_before_pico_usd", "status": "status_before", "price_id": "price_id_before"}
    ).with_columns(
        pl.Series("after", rated.cost_pico_usd),
        pl.Series("status_after", STATUSES, pl.String).gather(rated.status),
        pl.Series("unpriced_reason_after", UNPRICED_REASONS, pl.String).gather(rated.unpriced_reason),
        rated.price_id.series("price_id_after"),
    )
    moved = pl.col("after") != pl.col("cost_before_pico_usd")
    turned = pl.col("status_after") != pl.col("status_before")
    fits = (pl.col("status_after") != REJECTED) & (pl.col("after") <= MOST)
    changed = both.filter(fits & (moved | turned))
    return changed.with_columns(
        pl.col("revision").cast(pl.Int64) + 1,
        (pl.col("after") - pl.col("cost_before_pico_usd")).alias("cost_pico_usd"),
        *(_moved_to(status).alias(f"{status}_events") for status in (PRICED, PARTIAL, UNPRICED)),
    ).drop("after")


def improvements(changes: pl.DataFrame) -> pl.DataFrame:
    """Of `differences`, those that give a charge a price it lacked: priced charges are never among them."""
    before, after = (
        pl.col(name).replace_strict(CODES, return_dtype=pl.Int8) for name in ("status_before", "status_after")
    )
    return changes.filter(after < before)


def _moved_to(status: str) -> pl.Expr:
    is_after, was_before = pl.col("status_after") == status, pl.col("status_before") == status
    return is_after.cast(pl.Int64) - was_before.cast(pl.Int64)
