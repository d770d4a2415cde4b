"""Who owns an event: its own tags first, then the owner registry, else `unallocated`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spendstream.domain import effective
from spendstream.domain.attribution.listed import ListedValues
from spendstream.domain.attribution.tags import TAGS, TagPolicies, TagPolicy
from spendstream.domain.effective import ALWAYS, Effective, Turns, parse_effective

Bools = npt.NDArray[np.bool_]
MATCH_KEYS = ("service", "feature", "user_id", "api_key_id", "provider", "model", *TAGS)
#: What GPU processes are matched on besides; a prefix key matches the beginning of the field it is named after.
GPU_PREFIX_KEYS = ("pod_prefix", "job_prefix")
GPU_MATCH_KEYS = ("namespace", "pod", "container", "job", "host", *GPU_PREFIX_KEYS)
UNALLOCATED = "unallocated"
NOT_REFUSED = pl.lit(False).alias("quarantined")


@dataclass(frozen=True)
class Owner:
    """One registry entry: events that match all of `match` get these tags where they bring none.

    `service`: what runs in the pods or jobs it matches, for those that do not say so. `effective`: when it must have
    occurred.
    """

    org: str
    name: str
    match: Mapping[str, str]
    tags: Mapping[str, str]
    service: str = ""
    effective: Effective = ALWAYS


def parse_owner(org: str, name: str, spec: Mapping[str, Any]) -> tuple[Owner | None, list[tuple[str, str]]]:
    """An `Owner` document, or the list of (path, what is wrong)."""
    errors: list[tuple[str, str]] = []
    match = spec.get("match")
    if not isinstance(match, Mapping) or not match:
        errors.append(("match", "name at least one of " + ", ".join((*MATCH_KEYS, *GPU_MATCH_KEYS))))
        match = {}
    known = (*MATCH_KEYS, *GPU_MATCH_KEYS)
    errors += [(f"match.{key}", "is not a field owners can match on") for key in match if key not in known]
    fields = ("match", "service", *effective.KEYS, *TAGS)
    errors += [(key, "is not a field of an Owner") for key in spec if key not in fields]
    tags = {tag: spec[tag] for tag in TAGS if tag in spec}
    if not tags:
        errors.append(("team", "give at least one of " + ", ".join(TAGS)))
    values = [*((f"match.{key}", value) for key, value in match.items()), *tags.items()]
    values += [("service", spec["service"])] if "service" in spec else []
    errors += [(key, "must be text") for key, value in values if not isinstance(value, str)]
    when, wrong = parse_effective(spec)
    errors += wrong
    return (None, errors) if errors else (Owner(org, name, dict(match), tags, spec.get("service", ""), when), [])


class OwnerRegistry:
    """Owners and tag policies of an installation; the first owner that fits, by name order, wins."""

    def __init__(self, owners: Iterable[Owner], policies: Iterable[TagPolicy] = ()) -> None:
        self._owners: Sequence[Owner] = sorted(owners, key=lambda owner: (owner.org, owner.name))
        self._keys = [key for key in MATCH_KEYS if any(key in owner.match for owner in self._owners)]
        self._turns = Turns(owner.effective for owner in self._owners)
        self._policies = TagPolicies(policies)
        self._listed = ListedValues(self._owners)

    def fill(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events with the four tags complete, `owner_source` = event, registry or unallocated, and `owner_reason`:
        which tags are unallocated or not listed and why, empty when none is. Dated owners need `occurred_at`."""
        return self._fill(events).drop("quarantined")

    def quarantined(self, events: pl.DataFrame) -> Bools | None:
        """Which events a policy refuses; None when no policy refuses any."""
        if not self._policies.quarantines:
            return None
        return self._fill(events)["quarantined"].to_numpy()

    def _fill(self, events: pl.DataFrame) -> pl.DataFrame:
        events = events.with_columns(pl.col(tag).replace("", None).alias(tag) for tag in TAGS)
        complete = events.select(pl.all_horizontal(pl.col(tag).is_not_null() for tag in TAGS).all()).item()
        marked = self._listed.marked(events)
        if complete and marked is None:
            return events.with_columns(
                pl.lit("event").alias("owner_source"), pl.lit("").alias("owner_reason"), NOT_REFUSED
            )
        if marked is None:
            marked = events.with_columns(pl.lit(False).alias(f"{tag}_unlisted") for tag in TAGS)
        events = self._looked_up(_admitted(self._policies.mark(marked)))
        source = (
            pl.when(pl.col("team").is_not_null())
            .then(pl.lit("event"))
            .when(pl.col("team_found").is_not_null())
            .then(pl.lit("registry"))
            .otherwise(pl.lit(UNALLOCATED))
            .alias("owner_source")
        )
        tagged = [pl.coalesce(tag, f"{tag}_found").alias(tag) for tag in TAGS]
        refused = pl.any_horizontal(pl.col(f"{tag}_required") & pl.col(tag).is_null() for tag in TAGS)
        events = events.with_columns(*tagged, source).with_columns(_reason(), refused.alias("quarantined"))
        helpers = [f"{tag}_{what}" for tag in TAGS for what in ("found", "brought", "required", "strict", "unlisted")]
        return events.with_columns(pl.col(tag).fill_null(UNALLOCATED) for tag in TAGS).drop(*helpers, "lookup")

    def _looked_up(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events with `<tag>_found`: what the registry says, null where it says nothing or is not to be asked."""
        if not self._owners:
            return events.with_columns(pl.lit(None, dtype=pl.String).alias(f"{tag}_found") for tag in TAGS)
        keys = ["org", *self._keys]
        if self._turns:
            moments = events["occurred_at"].to_numpy()
            events = events.with_columns(pl.Series("stretch", np.searchsorted(self._turns.edges, moments, "right")))
            keys.append("stretch")
        found = self._lookup(events.select(keys).unique())
        events = events.join(found, on=keys, how="left", nulls_equal=True, maintain_order="left")
        asked = (pl.when("lookup").then(f"{tag}_found").alias(f"{tag}_found") for tag in TAGS)
        return events.with_columns(asked).drop("stretch", strict=False)

    def _lookup(self, combinations: pl.DataFrame) -> pl.DataFrame:
        """Registry tags of each distinct combination of the fields that owners match on."""
        found: list[dict[str, str | None]] = []
        for row in combinations.iter_rows(named=True):
            owner = next((owner for owner in self._owners if self._matches(owner, row)), None)
            tags = owner.tags if owner else {}
            found.append({f"{tag}_found": tags.get(tag) for tag in TAGS})
        schema = {f"{tag}_found": pl.String for tag in TAGS}
        return pl.concat([combinations, pl.DataFrame(found, schema=schema)], how="horizontal")

    def _matches(self, owner: Owner, row: Mapping[str, Any]) -> bool:
        return (
            owner.org == row["org"]
            and owner.effective.covers(self._turns.moment(row.get("stretch", 0)))
            and all(row.get(key) == value for key, value in owner.match.items())
        )


def _admitted(events: pl.DataFrame) -> pl.DataFrame:
    """Events with `<tag>_brought`, and without the tags that a strict policy does not take."""
    brought = [pl.col(tag).alias(f"{tag}_brought") for tag in TAGS]
    taken = [
        pl.when(~(pl.col(f"{tag}_unlisted") & pl.col(f"{tag}_strict"))).then(pl.col(tag)).alias(tag) for tag in TAGS
    ]
    return events.with_columns(*brought, *taken)


def _reason() -> pl.Expr:
    """`team missing; project unlisted; cost_center unknown: cc-9`: a word for each tag with something to say."""
    words = [
        pl.when(pl.col(tag).is_not_null())
        .then(pl.when(pl.col(f"{tag}_unlisted") & ~pl.col(f"{tag}_strict")).then(pl.lit(f"{tag} unlisted")))
        .when(pl.col(f"{tag}_brought").is_null())
        .then(pl.lit(f"{tag} missing"))
        .otherwise(pl.lit(f"{tag} unknown: ") + pl.col(f"{tag}_brought"))
        for tag in TAGS
    ]
    return pl.concat_str(words, separator="; ", ignore_nulls=True).alias("owner_reason")
