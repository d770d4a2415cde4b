"""Detectors `new_model` and `unpriced_usage`: a model nobody expected, and usage nobody can price, or
only in part. Each alerts once.

A model is new when the organisation did not use it in its first day of event time and no approval names it; with an
`approved_models` policy every model outside the list alerts, learning period or not. Policy form:
`{kind: approved_models, models: [anthropic/claude-haiku-4.5, "openai/*"]}`; a name without a provider fits any.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import polars as pl

from spendstream.domain.anomalies.incidents import Finding, Phase
from spendstream.domain.slots import JOIN
from spendstream.domain.wording import clock, count, usd

LEARNING_MINUTES: Final = 1440
_CAP: Final = 5_000  # models of one organisation; later ones are not tracked
_SETTLED_MINUTES: Final = 1440  # after a day a new model is no news


def approved_patterns(documents: Iterable[Mapping[str, Any]]) -> tuple[str, ...] | None:
    """Patterns of all `approved_models` policies together; None when there is no such policy."""
    policies = [d for d in documents if d["kind"] == "Policy" and d["spec"].get("kind") == "approved_models"]
    if not policies:
        return None
    return tuple(sorted({str(model) for policy in policies for model in policy["spec"].get("models", [])}))


@dataclass
class Firing:
    """A model that alerted; minutes since the epoch, money in pico-dollars since it started.

    `started`: the closed minute that alerted; `first`: the minute of the use itself, earlier when its record was late.
    """

    started: int
    first: int
    observed: int
    place: str
    team: str
    unapproved: bool


class Models:
    """State: models known, models alerted and still watched, unpriced (provider, model) pairs reported."""

    def __init__(self) -> None:
        self.patterns: tuple[str, ...] | None = None
        self.learned_until: int | None = None
        self.known: set[str] = set()
        self.alerted: set[str] = set()
        self.firing: dict[str, Firing] = {}
        self.unpriced: set[str] = set()

    def approve(self, patterns: tuple[str, ...] | None) -> None:
        """Follow a new list of approvals (`approved_patterns`): a known model it leaves out is met again, once."""
        if patterns != self.patterns:
            self.patterns = patterns
            self.known = {key for key in self.known if key in self.alerted or self._approved(key) is not False}

    def interesting(self, rows: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
        """Of owner rows of a run of minutes, those that `step` must see, by the minute they count in: models not known
        yet or watched, and the first use of each that has no price, or none for some of its classes.

        `since` and `lacking_since` of a row: the first minute of event time, and the first of such a use.
        """
        settled = self.known - self.firing.keys()
        used = set(zip(rows["provider"].to_list(), rows["model"].to_list(), strict=True))
        without = pl.col("unpriced_events") + pl.col("partial_events") > 0
        lacking = not rows.filter(without).is_empty()
        if not lacking and all(f"{provider}{JOIN}{model}" in settled for provider, model in used):
            return {}
        by = ["close", "provider", "model"]
        place = pl.struct("team", "service").sort_by("cost", "team", "service", descending=[True, False, False]).first()
        per_model = (
            rows.group_by(by)
            .agg(
                pl.col("cost", "requests", "events", "partial_events", "unpriced_events").sum(),
                pl.col("minute").min().alias("since"),
                pl.col("minute").filter(without).min().alias("lacking_since"),
                place.alias("place"),
            )
            .with_columns(pl.concat_str(["provider", "model"], separator=JOIN).alias("key"))
            .sort(by)
        )
        first_lacking = without & ~pl.col("key").is_in(sorted(self.unpriced))
        wanted = per_model.filter(~pl.col("key").is_in(sorted(settled)) | first_lacking)
        result: dict[int, list[dict[str, Any]]] = {}
        for row in wanted.iter_rows(named=True):
            result.setdefault(row["close"], []).append(row)
        return result

    def step(self, minute: int, rows: list[dict[str, Any]]) -> list[Finding]:
        """Judge one closed minute; `rows` from `interesting`."""
        if self.learned_until is None:
            self.learned_until = minute + LEARNING_MINUTES
        findings: list[Finding] = []
        for row in rows:
            key = row["key"]
            if key in self.firing:
                self.firing[key].observed += row["cost"]
            elif key not in self.known and len(self.known) < _CAP:
                findings += self._meet(key, minute, row)
            if row["lacking_since"] is not None and key not in self.unpriced and len(self.unpriced) < _CAP:
                self.unpriced.add(key)
                findings.append(_unpriced(key, minute, row))
        findings += [self._follow(key, minute) for key in list(self.firing) if self.firing[key].started < minute]
        return findings

    def _meet(self, key: str, minute: int, row: Mapping[str, Any]) -> list[Finding]:
        self.known.add(key)
        approved = self._approved(key)
        learning = self.learned_until is not None and minute < self.learned_until
        if approved or (approved is None and learning):
            return []
        if key in self.alerted:
            return []
        self.alerted.add(key)
        place = f"{row['place']['team']}/{row['place']['service']}"
        self.firing[key] = Firing(minute, row["since"], row["cost"], place, row["place"]["team"], approved is False)
        return [self._finding("open", key, minute)]

    def _approved(self, key: str) -> bool | None:
        """None without a policy."""
        if self.patterns is None:
            return None
        provider, model = key.split(JOIN)
        return any(fnmatchcase(f"{provider}/{model}", p) or fnmatchcase(model, p) for p in self.patterns)

    def _follow(self, key: str, minute: int) -> Finding:
        firing = self.firing[key]
        if not self._approved(key) and minute - firing.started < _SETTLED_MINUTES:
            return self._finding("hold", key, minute)
        finding = self._finding("close", key, minute)
        del self.firing[key]
        return finding

    def _finding(self, phase: Phase, key: str, minute: int) -> Finding:
        firing = self.firing[key]
        provider, model = key.split(JOIN)
        since = clock(firing.first)
        what = "a model no policy approves" if firing.unapproved else "a model never used here before"
        title = f"{firing.place} uses {provider}/{model}, {what}, since {since}: {usd(firing.observed)} so far"
        elapsed = max(minute - firing.started + 1, 60)
        return Finding(
            phase=phase,
            name="new_model",
            key=key,
            scope={"provider": provider, "model": model},
            minute=minute,
            started=firing.first,
            expected=0,
            observed=firing.observed,
            per_hour=firing.observed * 60 // elapsed,
            title=title,
            cause=f"first used by {firing.place}",
            owner=firing.team,
            once=True,
        )

    def snapshot(self) -> dict[str, Any]:
        return {
            "learned_until": self.learned_until,
            "patterns": None if self.patterns is None else list(self.patterns),
            "known": sorted(self.known),
            "alerted": sorted(self.alerted),
            "firing": {key: dict(vars(each)) for key, each in self.firing.items()},
            "unpriced": sorted(self.unpriced),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.learned_until = state["learned_until"]
        self.patterns = None if state["patterns"] is None else tuple(state["patterns"])
        self.known = set(state["known"])
        self.alerted = set(state["alerted"])
        self.firing = {key: Firing(**each) for key, each in state["firing"].items()}
        self.unpriced = set(state["unpriced"])


def _unpriced(key: str, minute: int, row: Mapping[str, Any]) -> Finding:
    provider, model = key.split(JOIN)
    place = f"{row['place']['team']}/{row['place']['service']}"
    since = clock(row["lacking_since"])  # not `minute`: a late record counts in a later minute than its own
    unpriced, partial = row["unpriced_events"], row["partial_events"]
    if unpriced:
        title = f"{place} uses {provider}/{model} without a price since {since}: its cost is unknown, not zero"
        cause = f"no price of {provider}/{model} is in force"
    else:
        title = (
            f"{place} uses {provider}/{model} with a price for only some of its token classes since {since}:"
            " the rest of its cost is unknown, not zero"
        )
        cause = f"the price of {provider}/{model} lacks a class that is used"
    return Finding(
        phase="open",
        kind="governance",
        name="unpriced_usage",
        key=key,
        scope={"provider": provider, "model": model},
        minute=minute,
        started=row["lacking_since"],
        expected=0,
        observed=0,
        per_hour=0,
        title=title,
        cause=cause,
        description=f"{count(unpriced + partial)} records in the first minute. A new price corrects them.",
        owner=row["place"]["team"],
        severity="warning",
        once=True,
    )
