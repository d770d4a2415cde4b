"""Which tag values an organisation's Owner documents list (infra/decisions/0011)."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import polars as pl

from spendstream.domain.attribution.tags import TAGS

if TYPE_CHECKING:
    from spendstream.domain.attribution.owners import Owner


class ListedValues:
    """A value is listed when an Owner document gives the tag it, or matches on it, whenever it is in force.

    A tag of which an organisation lists no value at all is not checked: nobody has begun to keep that list.
    """

    def __init__(self, owners: Iterable["Owner"]) -> None:
        values: dict[tuple[str, str], set[str]] = {}
        for owner in owners:
            for named in (owner.tags, owner.match):
                for tag in named.keys() & set(TAGS):
                    values.setdefault((tag, owner.org), set()).add(named[tag])
        self._values = {key: pl.Series(sorted(listed)) for key, listed in values.items()}

    def marked(self, events: pl.DataFrame) -> pl.DataFrame | None:
        """Events with `<tag>_unlisted` (booleans) for the four tags; None where every value is listed."""
        if not self._values:
            return None
        organisations = events["org"].unique().to_list()
        marks = events.select(self._unlisted(tag, organisations).alias(f"{tag}_unlisted") for tag in TAGS)
        if not marks.select(pl.any_horizontal(pl.all().any())).item():
            return None
        return events.hstack(marks)

    def _unlisted(self, tag: str, organisations: Sequence[str]) -> pl.Expr:
        found = pl.repeat(False, pl.len())
        for org in organisations:
            if (values := self._values.get((tag, org))) is not None:
                unlisted = ~pl.col(tag).is_in(values.implode()).fill_null(True)
                found |= unlisted if len(organisations) == 1 else (pl.col("org") == org) & unlisted
        return found
