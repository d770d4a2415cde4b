"""The recommendation state machine: cost deltas and usage in, recommendation records out."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

import polars as pl

from spendstream.domain.alerts import fingerprint
from spendstream.domain.recommendations.candidates import DOWNGRADES, Candidate
from spendstream.domain.recommendations.profiles import Profile, Profiles, Target, monthly
from spendstream.domain.recommendations.prompts import DEFAULT_CAPACITY, Prompts, PromptTarget
from spendstream.domain.recommendations.recommenders import FLOOR_PICO, Proposal, Reprice, exact_cache, model_downgrade
from spendstream.domain.recommendations.sequence import Cache, Measure, Stream, combined_saving

Record = dict[str, Any]

SNAPSHOT_VERSION: Final = 1
_REVISE_PER_CENT: Final = 10
# An open recommendation stays until its saving falls below this share of the floor: no flapping at the edge.
_STAY_PER_CENT: Final = 80
_ALIVE: Final = frozenset({"open", "accepted"})


class RecommendationEngine:
    """Recommendations from running profiles.

    `update` and `update_usage` only take evidence in, in any batches; `tick` speaks. What has been published decides
    what is news, so recalling it after a crash is enough not to repeat anything.
    """

    def __init__(
        self,
        reprice: Reprice,
        candidates: Iterable[Candidate] = DOWNGRADES,
        prompt_capacity: int = DEFAULT_CAPACITY,
    ) -> None:
        """`reprice(provider, model, tokens by bucket, requests)`: pico-dollars, None without a complete price."""
        self._reprice = reprice
        self._candidates = tuple(candidates)
        self._profiles = Profiles()
        self._prompts = Prompts(prompt_capacity)
        self._published: dict[str, Record] = {}

    def update(self, deltas: pl.DataFrame) -> None:
        """Take cost deltas: exactly-once differences of `CostRollup` rows (its column names)."""
        self._profiles.update(deltas)

    def update_usage(self, usage: pl.DataFrame) -> None:
        """Take usage records in log order: org, team, service, model, occurred_at (Int64 microseconds), prompt_hash,
        input_tokens, output_tokens, cost_pico_usd, requests, cache_hit."""
        self._prompts.update(usage)

    def tick(self, now: int) -> list[Record]:
        """The `Recommendation` records that are news: made, changed by more than a tenth, or expired.

        Call it every minute or so. `now` (clock) is not used: what is said follows from event time alone.
        """
        del now
        news: list[Record] = []
        alive: set[str] = set()
        for org, until, proposal in self._proposals():
            record = self._record(org, until, proposal)
            alive.add(record["recommendation_id"])
            if _is_news(self._published.get(record["recommendation_id"]), record):
                news.append(record)
        for recommendation_id, known in sorted(self._published.items()):
            if known["state"] == "open" and recommendation_id not in alive:
                news.append({**known, "state": "expired", "revision": known["revision"] + 1})
        self._published |= {record["recommendation_id"]: record for record in news}
        return news

    def combined_monthly_saving(self, org: str) -> int:
        """Pico-dollars a month that all open and accepted recommendations of `org` save together.

        Those on the same team, service and model act on the same bill, so they count in sequence (cache first, then
        routing), never as a sum.
        """
        profiles = [profile for profile in self._profiles.profiles() if profile.target.org == org]
        streams = {profile.target: self._stream(profile) for profile in profiles}
        bills: dict[PromptTarget, Fraction] = {}
        for target, stream in streams.items():
            bills[_prompts_of(target)] = bills.get(_prompts_of(target), Fraction(0)) + stream.cost
        caches = self._caches(bills)
        total = 0
        for profile in profiles:
            measures: list[Measure] = list(caches.get(_prompts_of(profile.target), ()))
            proposal = self._downgrade(profile, 0)
            if proposal is not None and proposal.route is not None and self._is_alive(org, proposal):
                measures.append(proposal.route)
            total += combined_saving((streams[profile.target],), measures)
        return total

    def recall(self, recommendations: Iterable[Mapping[str, Any]]) -> None:
        """States already on the topic, also those an operator set (accepted, rejected, applied, verified)."""
        for record in recommendations:
            known = self._published.get(record["recommendation_id"])
            if known is None or record["revision"] >= known["revision"]:
                times = {name: _micros(record[name]) for name in ("first_seen_at", "updated_at")}
                self._published[record["recommendation_id"]] = {**record, **times}

    def snapshot(self) -> dict[str, Any]:
        """The whole state as JSON."""
        return {
            "version": SNAPSHOT_VERSION,
            "profiles": self._profiles.snapshot(),
            "prompts": self._prompts.snapshot(),
            "published": self._published,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `snapshot` described. Raises ValueError for an unknown version."""
        if state["version"] != SNAPSHOT_VERSION:
            raise ValueError(f"recommendation snapshot of version {state['version']}, not {SNAPSHOT_VERSION}")
        self._profiles.restore(state["profiles"])
        self._prompts.restore(state["prompts"])
        self._published = {key: dict(record) for key, record in state["published"].items()}

    def _proposals(self) -> Iterator[tuple[str, int, Proposal]]:
        """(organisation, newest event time, proposal), ordered by kind and target."""
        lowest = FLOOR_PICO * _STAY_PER_CENT // 100
        for profile in self._profiles.profiles():
            proposal = self._downgrade(profile, lowest)
            if proposal is not None and self._speaks(profile.target.org, proposal):
                yield profile.target.org, profile.until, proposal
        for prompts in self._prompts.profiles():
            proposal = exact_cache(prompts, lowest)
            if proposal is not None and self._speaks(prompts.target.org, proposal):
                yield prompts.target.org, prompts.until, proposal

    def _downgrade(self, profile: Profile, floor: int) -> Proposal | None:
        return model_downgrade(profile, self._reprice, self._candidates, floor)

    def _speaks(self, org: str, proposal: Proposal) -> bool:
        """A new recommendation must reach the floor; one that is published may stay a little below it."""
        return proposal.savings[1] >= FLOOR_PICO or self._is_alive(org, proposal)

    def _record(self, org: str, until: int, proposal: Proposal) -> Record:
        known = self._published.get(_identity(org, proposal))
        reopened = known is None or known["state"] == "expired"
        low, expected, high = proposal.savings
        return {
            "recommendation_id": _identity(org, proposal),
            "org": org,
            "kind": proposal.kind,
            "target": dict(proposal.target),
            "title": proposal.title,
            "explanation": proposal.explanation,
            "evidence_query": proposal.query,
            "evidence": dict(proposal.evidence),
            "monthly_saving_pico_usd": expected,
            "low_pico_usd": low,
            "high_pico_usd": high,
            "confidence": proposal.confidence,
            "effort": proposal.effort,
            "risk": proposal.risk,
            "owner": proposal.target["team"],
            "state": "open" if reopened or known is None else known["state"],
            "revision": known["revision"] + 1 if known else 1,
            "first_seen_at": known["first_seen_at"] if known else until,
            "updated_at": until,
            "realised_pico_usd": known["realised_pico_usd"] if known else None,
        }

    def _caches(self, bills: Mapping[PromptTarget, Fraction]) -> dict[PromptTarget, list[Cache]]:
        """The open cache of each target, as the share of its whole bill: not all of it may be fingerprinted."""
        caches: dict[PromptTarget, list[Cache]] = {}
        for prompts in self._prompts.profiles():
            proposal, bill = exact_cache(prompts, 0), bills.get(prompts.target, Fraction(0))
            if proposal is not None and bill > 0 and self._is_alive(prompts.target.org, proposal):
                caches[prompts.target] = [Cache(min(proposal.savings[1] / bill, Fraction(1)))]
        return caches

    def _is_alive(self, org: str, proposal: Proposal) -> bool:
        known = self._published.get(_identity(org, proposal))
        return known is not None and known["state"] in _ALIVE

    def _stream(self, profile: Profile) -> Stream:
        """The monthly bill of a profile, input and output apart where its price is known."""
        inputs = {bucket: n if bucket.startswith("input_") else 0 for bucket, n in profile.tokens.items()}
        target = profile.target
        part = self._reprice(target.provider, target.model, inputs, profile.requests) or 0
        part = min(max(part, 0), profile.cost)
        scaled = (
            monthly(part, profile.since, profile.until),
            monthly(profile.cost - part, profile.since, profile.until),
        )
        return Stream(Fraction(scaled[0]), Fraction(scaled[1]))


def _prompts_of(target: Target) -> PromptTarget:
    return PromptTarget(target.org, target.team, target.service, target.model)


def _identity(org: str, proposal: Proposal) -> str:
    return fingerprint("recommendation", proposal.kind, {"org": org, **proposal.target}, None)


def _is_news(known: Record | None, record: Record) -> bool:
    if known is None or known["state"] == "expired":
        return True
    if known["state"] not in _ALIVE:
        return False
    before, after = known["monthly_saving_pico_usd"], record["monthly_saving_pico_usd"]
    return bool(abs(after - before) * 100 > _REVISE_PER_CENT * before)


def _micros(moment: Any) -> int:
    return moment if isinstance(moment, int) else round(moment.timestamp() * 1_000_000)
