"""All detectors of one organisation, advanced together one closed minute at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from spendstream.domain.anomalies.cause import explain
from spendstream.domain.anomalies.columns import COST, FEATURES, REQUESTS, Ints
from spendstream.domain.anomalies.hour_3x import Hour3x
from spendstream.domain.anomalies.incidents import Finding
from spendstream.domain.anomalies.models import Models
from spendstream.domain.anomalies.series import SPANS, SeriesTable
from spendstream.domain.anomalies.spike import SPEND_60, Spike
from spendstream.domain.anomalies.user_10x import Callers, User10x
from spendstream.domain.slots import JOIN

DAY: Final = 1440
# After a day (and its neighbours) without a record, time jumps to the next record: silence that long teaches nothing.
SILENCE_MINUTES: Final = 1560
_FORGET_MINUTES: Final = 30 * DAY
_TEAM: Final = ("team",)
_SERVICE: Final = ("team", "service")


@dataclass(frozen=True)
class Caps:
    """How many series are told apart per organisation; the rest share `(other)`."""

    series: int = 1_000
    entities: int = 1_000
    users: int = 20_000


class Organisation:
    """State: the detectors, the next minute to close and the last one that had records (minutes since the epoch)."""

    def __init__(self, caps: Caps) -> None:
        self.series = SeriesTable(caps.series, Spike.layout)
        self.spike = Spike(self.series)
        self.hour_3x = Hour3x(caps.entities)
        self.user_10x = User10x(caps.users)
        self.models = Models()
        self.next_minute: int | None = None
        self.last_record: int | None = None

    def advance(self, rows: pl.DataFrame, first_open: int) -> Iterator[Finding]:
        """Close every minute before `first_open`.

        `rows`: sums per `close` (the minute they count in), `minute` (of their event time) and dimensions, all with
        `close` < `first_open`, sorted by all of these in that order.
        """
        closes = rows["close"].to_numpy()
        if self.next_minute is None:
            if not len(closes):
                return
            self.next_minute = self.last_record = int(closes[0])
        for first, end in self._days(np.unique(closes).tolist(), first_open):
            start, stop = np.searchsorted(closes, [first, end])
            yield from self._run(rows[int(start) : int(stop)], first, end)
        self.next_minute = max(self.next_minute, first_open)

    def _days(self, closes: list[int], first_open: int) -> list[tuple[int, int]]:
        """[first, end) runs to step through: no run crosses midnight UTC; long silences are left out."""
        assert self.next_minute is not None and self.last_record is not None
        runs, start, last = [], self.next_minute, self.last_record
        for minute in closes:
            if minute > last + SILENCE_MINUTES:
                runs.append((start, max(start, last + SILENCE_MINUTES)))
                start = minute
            last = minute
        runs.append((start, max(start, min(first_open, last + SILENCE_MINUTES))))
        self.last_record = last
        cut = []
        for first, end in runs:
            edges = [first, *range((first // DAY + 1) * DAY, end, DAY), end]
            cut += [(a, b) for a, b in pairwise(edges) if a < b]
        return cut

    def _run(self, rows: pl.DataFrame, first: int, end: int) -> Iterator[Finding]:
        """Step through [first, end), inside one day."""
        if first % DAY == 0:
            self._forget(first)
        owner = (rows["grain"] == "owner").to_numpy()
        on_time = (rows["close"] == rows["minute"]).to_numpy()
        owners = rows if owner.all() else rows.filter(owner)
        punctual = owners if on_time.all() else owners.filter(on_time[owner])
        series, entities = self._owned(punctual, first, end - first)
        late = {} if on_time[owner].all() else self._late(owners.filter(~on_time[owner]))
        callers = {} if owner.all() else self._callers(rows.filter(on_time & ~owner))
        models = self.models.interesting(owners)
        for minute in range(first, end):
            i = minute - first
            self.series.advance(minute, series[i])
            yield from self.spike.step(minute)
            yield from self.hour_3x.step(minute, entities[i], late.get(minute, []), self.why)
            yield from self.user_10x.step(minute, callers.get(minute))
            yield from self.models.step(minute, models.get(minute, []))

    def _owned(self, rows: pl.DataFrame, first: int, count: int) -> tuple[Ints, Ints]:
        """FEATURES as [minute, feature, series] and cost as [minute, entity]; new names take slots in row order."""
        minutes, teams, services = rows["minute"].to_list(), rows["team"].to_list(), rows["service"].to_list()
        series, entities = self.series.slots, self.hour_3x.slots
        names = zip(minutes, teams, services, rows["model"].to_list(), strict=True)
        of_series = [series.slot(f"{team}{JOIN}{service}{JOIN}{model}", m) for m, team, service, model in names]
        of_team = [entities.slot(team, m) for m, team in zip(minutes, teams, strict=True)]
        pairs = zip(minutes, teams, services, strict=True)
        of_service = [entities.slot(f"{team}{JOIN}{service}", m) for m, team, service in pairs]
        sums = rows.select(FEATURES).to_numpy()
        at = rows["minute"].to_numpy() - first
        values = np.zeros((count, len(FEATURES), series.width), dtype=np.int64)
        for feature in range(len(FEATURES)):
            np.add.at(values[:, feature], (at, np.array(of_series, dtype=np.int64)), sums[:, feature])
        cost = np.zeros((count, entities.width), dtype=np.int64)
        for slots in (of_team, of_service):
            np.add.at(cost, (at, np.array(slots, dtype=np.int64)), sums[:, COST])
        return values, cost

    def why(self, scope: Mapping[str, str], minute: int) -> str:
        """What explains the last hour of a team or service: its dearest change, in one clause; "" when unknown."""
        slots = self.series.slots
        hour = slots["sums"][SPANS.index(60)]
        usual = np.where(slots["known"][SPEND_60], np.exp(slots["centre"][SPEND_60]), 0.0)
        excess = hour[COST] - usual
        inside = [
            slot
            for key, slot in slots.index.items()
            if all(self.series.scope(slot)[name] == value for name, value in scope.items())
        ]
        if not inside:
            return ""
        slot = max(inside, key=lambda each: (excess[each], slots.keys[each]))
        names = self.series.scope(slot)
        model = f"{names['service']} on {names['model']}" if "service" not in scope else names["model"]
        normal = slots["normal"][:, slot]
        if normal[REQUESTS] <= 0:
            return f"{model} is new here"
        return explain(normal, hour[:, slot].astype(np.float64), 1.0, float(usual[slot]), model).text

    def _late(self, rows: pl.DataFrame) -> dict[int, list[tuple[int, int, int]]]:
        """Late money per minute in which it counts: (entity slot, hour of its event time, pico-dollars)."""
        late: dict[int, list[tuple[int, int, int]]] = {}
        for dimensions in (_TEAM, _SERVICE):
            by = ["close", "minute", *dimensions]
            for close, minute, *values, cost in rows.group_by(by).agg(pl.col("cost").sum()).sort(by).iter_rows():
                slot = self.hour_3x.slots.index.get(JOIN.join(values))
                if slot is not None:
                    late.setdefault(close, []).append((slot, minute // 60, cost))
        return late

    def _callers(self, rows: pl.DataFrame) -> dict[int, Callers]:
        """Money per user and minute, with the place that took most of it."""
        place = pl.concat_str([pl.concat_str(["team", "service"], separator="/"), pl.col("model")], separator=" on ")
        per_user = (
            rows.filter(pl.col("user_id") != "")
            .select("minute", "user_id", "cost", "team", place.alias("place"))
            .sort("minute", "user_id", "cost", "place", descending=[False, False, True, False])
            .group_by("minute", "user_id", maintain_order=True)
            .agg(pl.col("cost").sum(), pl.col("place", "team").first())
        )
        slots = self.user_10x.slots
        found: dict[int, dict[int, tuple[int, str, str]]] = {}
        for minute, user, cost, where, team in per_user.iter_rows():
            users = found.setdefault(minute, {})
            slot = slots.slot(user, minute)
            known = users.get(slot, (0, where, team))  # several only in the overflow slot
            users[slot] = (known[0] + cost, known[1], known[2])
        return {minute: _callers_of(users) for minute, users in found.items()}

    def _forget(self, minute: int) -> None:
        since = minute - _FORGET_MINUTES
        self.series.slots.release_unseen(since, frozenset(self.spike.firing))
        self.hour_3x.slots.release_unseen(since, frozenset(self.hour_3x.firing))
        self.user_10x.slots.release_unseen(since, frozenset(self.user_10x.firing))

    def snapshot(self) -> dict[str, Any]:
        return {
            "series": self.series.snapshot(),
            "spike": self.spike.snapshot(),
            "hour_3x": self.hour_3x.snapshot(),
            "user_10x": self.user_10x.snapshot(),
            "models": self.models.snapshot(),
            "next_minute": self.next_minute,
            "last_record": self.last_record,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for name in ("series", "spike", "hour_3x", "user_10x", "models"):
            getattr(self, name).restore(state[name])
        self.next_minute, self.last_record = state["next_minute"], state["last_record"]


def _callers_of(users: Mapping[int, tuple[int, str, str]]) -> Callers:
    slots = np.fromiter(users, dtype=np.int64, count=len(users))
    cost, places, teams = zip(*users.values(), strict=True)
    return Callers(slots, np.array(cost, dtype=np.int64), places, teams)
