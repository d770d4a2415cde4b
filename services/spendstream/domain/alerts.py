"""What every alert has in common: its identity, its order of urgency, and its life from firing to resolved.

Budgets and anomalies share the identity; `AlertBook` keeps the published state of alerts that climb a ladder of levels.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Record = dict[str, Any]

SEVERITIES: Final = ("notice", "warning", "action", "critical", "page")
_RANK: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}
_TIMES: Final = ("started_at", "updated_at", "resolved_at", "window_start", "window_end", "emitted_at")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def fingerprint(kind: str, name: str, scope: Mapping[str, str], start: int | None) -> str:
    """Stable identity of an alert, 32 hex digits; never made of level, text or amount (semantics.md).

    `name` is the document or detector, `scope` the dimension values (with `org`, or two organisations would share
    alerts), `start` the window's or incident's start in microseconds; None for an alert that exists once for ever.
    """
    identity = json.dumps([kind, name, sorted(scope.items()), start], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def rank(severity: str) -> int:
    """Place of `severity` in notice < warning < action < critical < page."""
    return _RANK[severity]


def escalate(current: str | None, new: str) -> str:
    """The more urgent of two severities; `current` None means nothing has fired yet."""
    return new if current is None else max(current, new, key=rank)


@dataclass(slots=True)
class AlertEntry:
    """What is remembered of one alert. `levels`: each level ever published → the amount (pico-dollars) it was of.

    `record` is the last published state and is let go when the alert resolves.
    """

    state: str
    severity: str
    revision: int
    started_at: int
    keep_until: int
    levels: dict[float, int] = field(default_factory=dict)
    record: Record | None = None

    @property
    def is_open(self) -> bool:
        return self.state != "resolved"


@dataclass(slots=True)
class AlertBook:
    """State of every alert by fingerprint: counts revisions, escalates in place, never publishes a level twice."""

    entries: dict[str, AlertEntry] = field(default_factory=dict)
    _open: dict[str, None] = field(default_factory=dict)

    def fire(self, alert: Mapping[str, Any], now: int) -> Record | None:
        """The next state to publish, or None when readers know it all already.

        `alert`: an Alert record without `state`, `revision`, `resolved_at` and `emitted_at`. With a `level` it is
        published once per level for ever; without one, when it opens and when its severity rises.
        """
        entry = self.entries.get(alert["alert_id"])
        level, severity = alert.get("level"), alert["severity"]
        open_entry = entry if entry is not None and entry.is_open else None
        if level is not None:
            if entry is not None and level in entry.levels:
                return None
        elif open_entry is not None and rank(severity) <= rank(open_entry.severity):
            return None
        record = {
            **alert,
            "state": "firing",
            "severity": escalate(open_entry.severity if open_entry else None, severity),
            "revision": entry.revision + 1 if entry else 1,
            "started_at": entry.started_at if entry else alert["started_at"],
            "resolved_at": None,
            "emitted_at": now,
        }
        self._remember(record)
        return record

    def resolve(self, alert_id: str, at: int, now: int, **last: Any) -> Record | None:
        """The resolved state to publish, ended at event time `at`, with the `last` values of other fields.

        None when the alert is not open.
        """
        entry = self.entries.get(alert_id)
        if entry is None or not entry.is_open or entry.record is None:
            return None
        record = {
            **entry.record,
            **last,
            "state": "resolved",
            "revision": entry.revision + 1,
            "updated_at": at,
            "resolved_at": at,
            "emitted_at": now,
        }
        self._remember(record)
        return record

    def recall(self, record: Mapping[str, Any]) -> None:
        """Learn a state read back from the `alerts` topic: after a crash, or when someone acknowledged.

        Its level counts as published whatever its revision; an older revision changes nothing else. Timestamps may be
        datetimes, as decoded, or microseconds.
        """
        learnt = {**record, **{name: _micros(record[name]) for name in _TIMES if record.get(name) is not None}}
        known = self.entries.get(learnt["alert_id"])
        if known is None or learnt["revision"] > known.revision:
            self._remember(learnt)
        elif learnt.get("level") is not None:
            known.levels.setdefault(learnt["level"], learnt["limit_pico_usd"])
        elif learnt["revision"] == known.revision and learnt["state"] == "acknowledged" and known.state == "firing":
            self._remember(learnt)

    def open_alerts(self) -> Iterator[tuple[str, Record]]:
        """Fingerprint and last published state of each alert that has not resolved."""
        for alert_id in list(self._open):
            record = self.entries[alert_id].record
            if record is not None:
                yield alert_id, record

    def is_open(self, alert_id: str) -> bool:
        return alert_id in self._open

    def prune(self, before: int) -> None:
        """Forget resolved alerts whose window, or last change, ended before `before` (microseconds)."""
        gone = [key for key, entry in self.entries.items() if not entry.is_open and entry.keep_until < before]
        for key in gone:
            del self.entries[key]

    def snapshot(self) -> list[list[Any]]:
        """Plain rows, one per alert, that JSON can carry."""
        return [
            [key, e.state, e.severity, e.revision, e.started_at, e.keep_until, list(e.levels.items()), e.record]
            for key, e in self.entries.items()
        ]

    @classmethod
    def restore(cls, rows: Iterable[list[Any]]) -> "AlertBook":
        """The book that `snapshot` described."""
        book = cls()
        for key, state, severity, revision, started_at, keep_until, levels, record in rows:
            book.entries[key] = AlertEntry(state, severity, revision, started_at, keep_until, dict(levels), record)
            if state != "resolved":
                book._open[key] = None
        return book

    def _remember(self, record: Record) -> None:
        key, is_open = record["alert_id"], record["state"] != "resolved"
        entry = self.entries.get(key)
        levels = entry.levels if entry else {}
        if record.get("level") is not None:
            levels.setdefault(record["level"], record["limit_pico_usd"])
        self.entries[key] = AlertEntry(
            state=record["state"],
            severity=record["severity"],
            revision=record["revision"],
            started_at=record["started_at"],
            keep_until=max(record.get("window_end") or 0, record["updated_at"]),
            levels=levels,
            record=record if is_open else None,
        )
        if is_open:
            self._open[key] = None
        else:
            self._open.pop(key, None)


def _micros(moment: datetime | int) -> int:
    return moment if isinstance(moment, int) else (moment - _EPOCH) // timedelta(microseconds=1)
