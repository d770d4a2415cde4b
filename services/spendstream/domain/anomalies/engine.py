"""The anomaly state machine: cost deltas in, alert records out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from spendstream.domain.anomalies.columns import DIMENSIONS, SUMS, watched
from spendstream.domain.anomalies.incidents import Incidents, Record
from spendstream.domain.anomalies.models import approved_patterns
from spendstream.domain.anomalies.organisation import Caps, Organisation
from spendstream.domain.anomalies.watermark import MINUTE_MICROS, NO_TIME, Lateness, Watermark

SNAPSHOT_VERSION: Final = 3
# Alerts published before a crash are remembered this long (event time) against being published again.
_RECALL_MINUTES: Final = 60 * 24 * 60
_KEYS: Final = ["close", "minute", *DIMENSIONS]


@dataclass
class _Tenant:
    """One organisation: what has arrived but not closed, its time, its detectors, its incidents."""

    organisation: Organisation
    watermark: Watermark
    incidents: Incidents
    pending: list[pl.DataFrame] = field(default_factory=list)


class AnomalyEngine:
    """Detects anomalies in cost deltas, per organisation, in event time.

    The alerts (all but their `emitted_at`) are a function of the deltas in log order: batch boundaries do not matter.
    The clock matters only where a stream falls silent (`Lateness`).
    """

    def __init__(
        self,
        lateness: Lateness | None = None,
        caps: Caps | None = None,
        source_partitions: int = 1,
    ) -> None:
        """`source_partitions`: partitions of `usage`, when deltas name theirs in a column `source_partition`."""
        self._lateness = lateness or Lateness()
        self._caps = caps or Caps()
        self._source_partitions = source_partitions
        self._tenants: dict[str, _Tenant] = {}
        self._documents: list[dict[str, Any]] = []
        self._recalled: dict[str, tuple[int, int]] = {}  # alert id -> (revision, event time in minutes)

    def update(self, deltas: pl.DataFrame, now: int) -> list[Record]:
        """Take cost deltas in log order and close the minutes they complete.

        `deltas`: exactly-once differences of `CostRollup` rows (its column names; `minute` Int64 microseconds UTC;
        optional `source_partition` Int64); rows without events and requests are
        corrections. `now`: clock, microseconds. Returns `Alert` records in event-time order per
        organisation.
        """
        published: list[Record] = []
        if deltas.is_empty():
            return published
        for (org,), rows in sorted(watched(deltas).partition_by("org", as_dict=True).items()):
            tenant = self._tenant(str(org))
            is_correction = (rows["events"] == 0) & (rows["requests"] == 0)
            partitions = np.where(is_correction.to_numpy(), NO_TIME, rows["source_partition"].to_numpy())
            close = tenant.watermark.assign(rows["minute"].to_numpy(), partitions, now)
            tenant.pending.append(rows.select(pl.Series("close", close, dtype=pl.Int64), *_KEYS[1:], *SUMS))
            published += self._close(tenant, now)
        return published

    def tick(self, now: int) -> list[Record]:
        """Let the clock close what silent streams left open; call it every few seconds. `now`: microseconds."""
        published: list[Record] = []
        for _, tenant in sorted(self._tenants.items()):
            tenant.watermark.tick(now)
            published += self._close(tenant, now)
        return published

    def set_documents(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """All `Policy` documents in force: mappings with `org`, `kind`, `name`, `spec`. Others are ignored."""
        self._documents = [dict(d) for d in documents if d["kind"] == "Policy"]
        for org, tenant in self._tenants.items():
            tenant.organisation.models.approve(self._approved(org))

    def recall(self, alerts: Iterable[Mapping[str, Any]]) -> None:
        """Alerts already on the topic: the same or an older revision of one is not published again.

        Incidents that a restored, older state finds anew have the same ids and revisions, so nothing repeats.
        """
        for alert in alerts:
            updated = alert["updated_at"]
            micros = updated if isinstance(updated, int) else round(updated.timestamp() * 1_000_000)
            known = self._recalled.get(alert["alert_id"], (0, 0))
            self._recalled[alert["alert_id"]] = max(known, (int(alert["revision"]), micros // MINUTE_MICROS))

    def snapshot(self) -> dict[str, Any]:
        """The whole state as JSON."""
        return {
            "version": SNAPSHOT_VERSION,
            "tenants": {
                org: {
                    "organisation": tenant.organisation.snapshot(),
                    "watermark": tenant.watermark.snapshot(),
                    "incidents": tenant.incidents.snapshot(),
                    "pending": pl.concat(tenant.pending).to_dict(as_series=False) if tenant.pending else {},
                }
                for org, tenant in self._tenants.items()
            },
            "recalled": {alert_id: list(known) for alert_id, known in self._recalled.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `snapshot` described; documents are set apart. Raises ValueError for an unknown version."""
        if state["version"] != SNAPSHOT_VERSION:
            raise ValueError(f"anomaly snapshot of version {state['version']}, this program reads {SNAPSHOT_VERSION}")
        self._tenants = {}
        self._recalled = {alert_id: (r, m) for alert_id, (r, m) in state["recalled"].items()}
        for org, parts in state["tenants"].items():
            tenant = self._tenant(org)
            tenant.organisation.restore(parts["organisation"])
            tenant.watermark.restore(parts["watermark"])
            tenant.incidents.restore(parts["incidents"])
            if parts["pending"]:
                tenant.pending = [pl.DataFrame(parts["pending"], schema=_PENDING)]
            if self._documents:
                tenant.organisation.models.approve(self._approved(org))

    def _tenant(self, org: str) -> _Tenant:
        if org not in self._tenants:
            watermark = Watermark(self._lateness, self._source_partitions)
            self._tenants[org] = _Tenant(Organisation(self._caps), watermark, Incidents(org))
            self._tenants[org].organisation.models.approve(self._approved(org))
        return self._tenants[org]

    def _approved(self, org: str) -> tuple[str, ...] | None:
        return approved_patterns(d for d in self._documents if d.get("org", "default") == org)

    def _close(self, tenant: _Tenant, now: int) -> list[Record]:
        first_open = tenant.watermark.first_open
        organisation = tenant.organisation
        if organisation.next_minute is not None and first_open <= organisation.next_minute:
            return []
        rows = pl.concat(tenant.pending) if tenant.pending else pl.DataFrame(schema=_PENDING)
        ready = rows.filter(pl.col("close") < first_open)
        tenant.pending = [rows.filter(pl.col("close") >= first_open)]
        table = ready.group_by(_KEYS).agg(pl.col(SUMS).sum()).sort(_KEYS)
        records = [tenant.incidents.apply(finding, now) for finding in organisation.advance(table, first_open)]
        self._forget_recalled(first_open)
        return [record for record in records if record is not None and self._is_news(record)]

    def _is_news(self, record: Record) -> bool:
        return bool(record["revision"] > self._recalled.get(record["alert_id"], (0, 0))[0])

    def _forget_recalled(self, first_open: int) -> None:
        if len(self._recalled) > 10_000:
            since = first_open - _RECALL_MINUTES
            self._recalled = {a: known for a, known in self._recalled.items() if known[1] >= since}


_PENDING: Final = {name: pl.String if name in DIMENSIONS else pl.Int64 for name in (*_KEYS, *SUMS)}
