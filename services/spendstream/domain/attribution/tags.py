"""What happens to an event whose tags are missing or wrong: one policy per source of events (domain.md §4).

A `Policy` document of kind `tags` names its source by what an event brings (service, key, provider, …). Its action:
`default` looks missing tags up in the owner registry (this is also what happens without any policy), `accept` takes
the event as it is, `quarantine` refuses it where a required tag is still unallocated. `registry: strict` declares that
the Owner documents list every value of the tags in `checked`: one they do not list is not taken, the tag counts as
unallocated and the reason keeps the value. Otherwise (`open`) it is taken, and reported as unlisted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

TAGS: Final = ("team", "project", "environment", "cost_center")
SOURCE_KEYS: Final = ("service", "feature", "user_id", "api_key_id", "provider", "model")
ACTIONS: Final = ("default", "accept", "quarantine")
REGISTRIES: Final = ("open", "strict")
_KEYS: Final = ("kind", "match", "action", "required", "registry", "checked")


@dataclass(frozen=True)
class TagPolicy:
    """Events that bring all of `match` are treated like this; an empty `match` is every event. `strict`: the tags whose
    values must be listed in the owner registry."""

    org: str
    name: str
    match: Mapping[str, str]
    action: str = "default"
    required: tuple[str, ...] = TAGS
    strict: tuple[str, ...] = ()


def parse_tag_policy(org: str, name: str, spec: Mapping[str, Any]) -> tuple[TagPolicy | None, list[tuple[str, str]]]:
    """A `Policy` document of kind `tags`, or the list of (path, what is wrong)."""
    errors = [(str(key), f"is not a field here; known: {', '.join(_KEYS)}") for key in spec if key not in _KEYS]
    match, required = spec.get("match", {}), spec.get("required", list(TAGS))
    if not isinstance(match, Mapping):
        errors.append(("match", "must be a mapping"))
        match = {}
    errors += [
        (f"match.{key}", f"must be one of {', '.join(SOURCE_KEYS)}, with a text")
        for key, value in match.items()
        if key not in SOURCE_KEYS or not isinstance(value, str)
    ]
    if spec.get("action", "default") not in ACTIONS:
        errors.append(("action", f"must be one of {', '.join(ACTIONS)}"))
    if spec.get("registry", "open") not in REGISTRIES:
        errors.append(("registry", f"must be one of {', '.join(REGISTRIES)}"))
    checked = spec.get("checked", list(TAGS))
    for key, tags in (("required", required), ("checked", checked)):
        if not isinstance(tags, list) or not tags or any(tag not in TAGS for tag in tags):
            errors.append((key, f"must be a list out of {', '.join(TAGS)}"))
    if "checked" in spec and spec.get("registry") != "strict":
        errors.append(("checked", "has a meaning only with registry: strict"))
    if errors:
        return None, errors
    strict = tuple(checked) if spec.get("registry") == "strict" else ()
    return TagPolicy(org, name, dict(match), spec.get("action", "default"), tuple(required), strict), []


class TagPolicies:
    """All policies of an installation; of those that fit, the one that names most of the event stands, then by name."""

    def __init__(self, policies: Iterable[TagPolicy] = ()) -> None:
        self._policies: Sequence[TagPolicy] = sorted(policies, key=lambda p: (-len(p.match), p.org, p.name))
        self._keys = [key for key in SOURCE_KEYS if any(key in policy.match for policy in self._policies)]
        self.quarantines = any(policy.action == "quarantine" for policy in self._policies)

    def mark(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events with `lookup`, `<tag>_required` and `<tag>_strict` (booleans)."""
        if not self._policies:
            off = [pl.lit(False).alias(f"{tag}_{what}") for tag in TAGS for what in ("required", "strict")]
            return events.with_columns(pl.lit(True).alias("lookup"), *off)
        combinations = events.select("org", *self._keys).unique()
        found = [self._of(row) for row in combinations.iter_rows(named=True)]
        marks = combinations.with_columns(
            pl.Series("lookup", [policy is None or policy.action != "accept" for policy in found], pl.Boolean),
            *(pl.Series(f"{tag}_required", [_requires(policy, tag) for policy in found], pl.Boolean) for tag in TAGS),
            *(pl.Series(f"{tag}_strict", [_is_strict(policy, tag) for policy in found], pl.Boolean) for tag in TAGS),
        )
        return events.join(marks, on=["org", *self._keys], how="left", nulls_equal=True, maintain_order="left")

    def _of(self, row: Mapping[str, Any]) -> TagPolicy | None:
        return next(
            (
                policy
                for policy in self._policies
                if policy.org == row["org"] and all(row.get(key) == value for key, value in policy.match.items())
            ),
            None,
        )


def _requires(policy: TagPolicy | None, tag: str) -> bool:
    return policy is not None and policy.action == "quarantine" and tag in policy.required


def _is_strict(policy: TagPolicy | None, tag: str) -> bool:
    return policy is not None and tag in policy.strict
