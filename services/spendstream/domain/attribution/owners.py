"""Who owns an event: its own tags first, then the owner registry, else `unallocated`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

TAGS = ("team", "project", "environment", "cost_center")
MATCH_KEYS = ("service", "feature", "user_id", "api_key_id", "provider", "model", *TAGS)
UNALLOCATED = "unallocated"


@dataclass(frozen=True)
class Owner:
    """One registry entry: events that match all of `match` get these tags where they bring none."""

    org: str
    name: str
    match: Mapping[str, str]
    tags: Mapping[str, str]


def parse_owner(org: str, name: str, spec: Mapping[str, Any]) -> tuple[Owner | None, list[tuple[str, str]]]:
    """An `Owner` document, or the list of (path, what is wrong)."""
    errors: list[tuple[str, str]] = []
    match = spec.get("match")
    if not isinstance(match, Mapping) or not match:
        errors.append(("match", "name at least one of " + ", ".join(MATCH_KEYS)))
        match = {}
    errors += [(f"match.{key}", "is not a field owners can match on") for key in match if key not in MATCH_KEYS]
    errors += [(key, "is not a field of an Owner") for key in spec if key not in ("match", *TAGS)]
    tags = {tag: spec[tag] for tag in TAGS if tag in spec}
    if not tags:
        errors.append(("team", "give at least one of " + ", ".join(TAGS)))
    values = [*((f"match.{key}", value) for key, value in match.items()), *tags.items()]
    errors += [(key, "must be text") for key, value in values if not isinstance(value, str)]
    return (None, errors) if errors else (Owner(org, name, dict(match), tags), [])


class OwnerRegistry:
    """All owners of an installation; the first match by name order wins."""

    def __init__(self, owners: Iterable[Owner]) -> None:
        self._owners: Sequence[Owner] = sorted(owners, key=lambda owner: (owner.org, owner.name))
        self._keys = [key for key in MATCH_KEYS if any(key in owner.match for owner in self._owners)]

    def fill(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events with the four tags complete and `owner_source` = event, registry or unallocated."""
        own = [pl.col(tag).replace("", None).alias(tag) for tag in TAGS]
        events = events.with_columns(own)
        complete = pl.all_horizontal(pl.col(tag).is_not_null() for tag in TAGS)
        if self._owners and not events.select(complete.all()).item():
            events = events.join(
                self._lookup(events), on=["org", *self._keys], how="left", nulls_equal=True, maintain_order="left"
            )
        else:
            events = events.with_columns(pl.lit(None, dtype=pl.String).alias(f"{tag}_found") for tag in TAGS)
        filled = [pl.coalesce(tag, f"{tag}_found", pl.lit(UNALLOCATED)).alias(tag) for tag in TAGS]
        source = (
            pl.when(pl.col("team").is_not_null())
            .then(pl.lit("event"))
            .when(pl.col("team_found").is_not_null())
            .then(pl.lit("registry"))
            .otherwise(pl.lit(UNALLOCATED))
            .alias("owner_source")
        )
        return events.with_columns(*filled, source).drop([f"{tag}_found" for tag in TAGS])

    def _lookup(self, events: pl.DataFrame) -> pl.DataFrame:
        """Registry tags of each distinct combination of the fields that owners match on."""
        combinations = events.select("org", *self._keys).unique()
        found: list[dict[str, str | None]] = []
        for row in combinations.iter_rows(named=True):
            owner = next((owner for owner in self._owners if self._matches(owner, row)), None)
            tags = owner.tags if owner else {}
            found.append({f"{tag}_found": tags.get(tag) for tag in TAGS})
        schema = {f"{tag}_found": pl.String for tag in TAGS}
        return pl.concat([combinations, pl.DataFrame(found, schema=schema)], how="horizontal")

    @staticmethod
    def _matches(owner: Owner, row: Mapping[str, Any]) -> bool:
        return owner.org == row["org"] and all(row.get(key) == value for key, value in owner.match.items())
