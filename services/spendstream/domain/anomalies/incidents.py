"""From what detectors find, minute by minute, to alert records: one incident is one alert, updated in place.

A detector reports `open` once, `hold` every minute while it lasts, `close` once. An alert is published when it opens,
when its severity rises, when the money at stake has doubled since it was last published, and when it closes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from spendstream.domain.alerts import SEVERITIES, escalate, fingerprint
from spendstream.domain.anomalies.watermark import MINUTE_MICROS
from spendstream.domain.money import PICO_PER_USD, on_wire
from spendstream.domain.wording import usd

Record = dict[str, Any]
Phase = Literal["open", "hold", "close"]

# Dollars at stake, so far or in the coming hour, from which a severity applies.
_SEVERITY_USD: Final = (0, 10, 100, 1_000, 10_000)


@dataclass(frozen=True)
class Finding:
    """What a detector says about one incident at the end of `minute`; minutes since the epoch, money in pico-dollars.

    `key` names the incident inside its detector. `once` marks an incident whose identity has no start: it alerts once
    for ever. `severity` overrules the one that follows from money.
    """

    phase: Phase
    name: str
    key: str
    scope: Mapping[str, str]
    minute: int
    started: int
    expected: int
    observed: int
    per_hour: int
    title: str
    cause: str = ""
    description: str = ""
    owner: str = ""
    score: float | None = None
    ended: int | None = None
    kind: Literal["anomaly", "governance"] = "anomaly"
    once: bool = False
    severity: str | None = None
    window: tuple[int, int] | None = None

    @property
    def at_stake(self) -> int:
        return max(0, self.observed - self.expected)


def severity_of(at_stake: int, per_hour: int) -> str:
    """Severity by the larger of money at stake so far and per hour, pico-dollars."""
    money = max(at_stake, per_hour)
    return SEVERITIES[max(i for i, floor in enumerate(_SEVERITY_USD) if i == 0 or money >= floor * PICO_PER_USD)]


@dataclass
class Incidents:
    """Open incidents of one organisation: (detector, key) → the alert as it was last published."""

    org: str
    published: dict[str, Record] = field(default_factory=dict)

    def apply(self, finding: Finding, now: int) -> Record | None:
        """The record to publish, or None when nothing worth a revision changed. `now`: clock, microseconds."""
        key = f"{finding.name}\x1e{finding.key}"
        last = self.published.get(key)
        if finding.phase != "open" and last is None:
            return None
        record = self._record(finding, last, now)
        if finding.kind == "governance":  # stands until somebody acts; nothing here follows it
            return record
        if finding.phase == "close":
            del self.published[key]
            return record
        if last is not None and not _meaningful(last, record):
            return None
        self.published[key] = record
        return record

    def _record(self, finding: Finding, last: Record | None, now: int) -> Record:
        severity = finding.severity or severity_of(finding.at_stake, finding.per_hour)
        if last is not None:
            severity = escalate(last["severity"], severity)
        start = finding.started * MINUTE_MICROS
        closed = finding.phase == "close"
        ended = (finding.ended if finding.ended is not None else finding.minute + 1) * MINUTE_MICROS
        window = (None, None) if finding.window is None else tuple(m * MINUTE_MICROS for m in finding.window)
        scope = dict(finding.scope)
        return {
            "alert_id": last["alert_id"] if last else self._identity(finding),
            "org": self.org,
            "kind": finding.kind,
            "name": finding.name,
            "state": "resolved" if closed else "firing",
            "severity": severity,
            "revision": last["revision"] + 1 if last else 1,
            "scope": scope,
            "title": finding.title,
            "description": finding.description or _description(finding),
            "owner": finding.owner,
            "started_at": last["started_at"] if last else start,
            "updated_at": (finding.minute + 1) * MINUTE_MICROS,
            "resolved_at": ended if closed else None,
            "window_start": window[0] if window[0] is not None else start,
            "window_end": window[1],
            "emitted_at": now,
            "level": None,
            "limit_pico_usd": None,
            "observed_pico_usd": on_wire(finding.observed),
            "expected_pico_usd": on_wire(finding.expected),
            "at_stake_pico_usd": on_wire(finding.at_stake),
            "per_hour_pico_usd": 0 if closed else on_wire(finding.per_hour),
            "score": finding.score,
            "root_cause": finding.cause or (last["root_cause"] if last else ""),
            "link": "",
            "runbook": "",
            "late": False,
        }

    def _identity(self, finding: Finding) -> str:
        start = None if finding.once else finding.started * MINUTE_MICROS
        return fingerprint(finding.kind, finding.name, {"org": self.org, **finding.scope}, start)

    def snapshot(self) -> dict[str, Any]:
        return {"org": self.org, "published": self.published}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.published = {key: dict(record) for key, record in state["published"].items()}


def _meaningful(last: Record, record: Record) -> bool:
    if record["severity"] != last["severity"]:
        return True
    doubled: bool = record["at_stake_pico_usd"] >= 2 * max(last["at_stake_pico_usd"], PICO_PER_USD)
    return doubled


def _description(finding: Finding) -> str:
    spent = f"Spent {usd(finding.observed)} where {usd(finding.expected)} was expected"
    text = f"{spent}: {usd(finding.at_stake)} at stake so far"
    if finding.phase == "close":
        return f"{text}. It is back to normal."
    return f"{text}, {usd(finding.per_hour)} more per hour if it goes on."
