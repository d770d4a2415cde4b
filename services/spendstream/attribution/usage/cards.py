"""Rate cards beside the ledger: each price a charge names is there, per class and tier, before the charge is."""

from fractions import Fraction

import polars as pl
import pyarrow as pa

from spendstream.domain.prices import RateCard
from spendstream.rating import Book
from spendstream.runtime.clickhouse.writer import ClickHouse

Key = tuple[str, str, str]  # org, price id, tier
REMEMBERED = 65_536
INT64_MAX = 2**63 - 1
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("org", "price_id", "tier")),
        ("above", pa.list_(pa.int64())),
        ("pico_per_token", pa.list_(pa.list_(pa.int64()))),
        ("pico_per_request", pa.int64()),
        *(
            (f"{kind}_{part}", pa.int64())
            for kind in ("list", "contracted", "billed")
            for part in ("numerator", "denominator")
        ),
    ]
)


class RateCards:
    """Writes the cards of what it is shown; one that was written by this process is not written again."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._written: set[Key] = set()

    async def write(self, counted: pl.DataFrame, book: Book) -> None:
        """The cards of all counted events. `book` is the one they were rated with."""
        keys = set(counted.lazy().select("org", "price_id", "tier").unique().collect().rows())
        if not (new := {key for key in keys - self._written if key[1]}):
            return
        rows = [row for key in sorted(new) if (row := _row(key, book)) is not None]
        await self._clickhouse.insert("rate_cards", pa.Table.from_pylist(rows, schema=SCHEMA))
        if len(self._written) > REMEMBERED:
            self._written.clear()
        self._written |= new


def _row(key: Key, book: Book) -> dict[str, object] | None:
    """None for a price the book does not know, or with a factor beyond 64 bits: such charges stay whole in v_focus."""
    org, price_id, tier = key
    card = book.prices.of(org).card(price_id, tier)
    if card is None or any(_too_wide(factor) for factor in _factors(card).values()):
        return None
    return {
        "org": org, "price_id": price_id, "tier": tier, "above": list(card.above),
        "pico_per_token": [list(row) for row in card.pico_per_token], "pico_per_request": card.pico_per_request,
        **{f"{kind}_numerator": factor.numerator for kind, factor in _factors(card).items()},
        **{f"{kind}_denominator": factor.denominator for kind, factor in _factors(card).items()},
    }  # fmt: skip


def _factors(card: RateCard) -> dict[str, Fraction]:
    return {"list": card.list_factor, "contracted": card.contracted_factor, "billed": card.billed_factor}


def _too_wide(factor: Fraction) -> bool:
    return max(factor.numerator, factor.denominator) > INT64_MAX
