"""One budget's spend in one window, and what it has reached."""

from bisect import bisect_right
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from zoneinfo import ZoneInfo

from spendstream.domain.alerts import fingerprint
from spendstream.domain.budgets.model import ACTIONS, Budget
from spendstream.domain.budgets.windows import Calendar

Key = tuple[str, str]


@dataclass(slots=True)
class Counter:
    """Spend (pico-dollars) of the window `start` .. `end`; `reached` counts the ladder's levels at or below it.

    `event_at` is the latest event minute counted.
    """

    start: int
    end: int
    spent: int
    event_at: int
    reached: int = 0
    closed: bool = False


@dataclass(slots=True, eq=False)
class Tracked:
    """A budget with its counters, and the combinations that fall under it.

    Counters go by window start; a rolling window has one, which slides, under 0. `anchor`: the window start in the
    identity of a rolling window's alert. `burning_since`: start of the open burn-rate incident.
    """

    budget: Budget
    calendar: Calendar
    thresholds: tuple[int, ...] = ()
    counters: dict[int, Counter] = field(default_factory=dict)
    combos: set[int] = field(default_factory=set)
    anchor: int | None = None
    burning_since: int | None = None

    @classmethod
    def of(cls, budget: Budget) -> "Tracked":
        """Start tracking `budget`, nothing counted yet."""
        # spend >= at x amount, both integers: spend >= ceil(at x amount)
        thresholds = tuple(ceil(Fraction(level.at) * budget.amount_pico_usd) for level in budget.ladder)
        return cls(budget, Calendar(budget.window, ZoneInfo(budget.timezone)), thresholds)

    def successor(self, budget: Budget) -> "Tracked":
        """The same budget with a changed document; what was counted stays when scope and window stay."""
        new = Tracked.of(budget)
        old = self.budget
        if (old.scope, old.window, old.timezone) == (budget.scope, budget.window, budget.timezone):
            new.counters, new.anchor, new.burning_since = self.counters, self.anchor, self.burning_since
        return new

    @property
    def org(self) -> str:
        return self.budget.org

    @property
    def scope(self) -> tuple[tuple[str, str], ...]:
        return self.budget.scope

    @property
    def key(self) -> Key:
        return self.budget.org, self.budget.name

    @property
    def is_ceiling(self) -> bool:
        """A bound on one request: a caller checks it, nothing is counted."""
        return self.budget.window.kind == "request"

    @property
    def is_rolling(self) -> bool:
        return self.budget.window.is_rolling

    def alert_id(self, start: int, suffix: str = "") -> str:
        """Fingerprint of this budget's alert for the window or incident that began at `start`."""
        scope = {"org": self.budget.org, **dict(self.budget.scope)}
        return fingerprint("budget", self.budget.name + suffix, scope, start)

    def identity_start(self, counter: Counter) -> int:
        """The window start in the identity of the counter's alert."""
        return counter.start if self.anchor is None else self.anchor

    def levels_reached(self, spent: int) -> int:
        return bisect_right(self.thresholds, spent)

    def action(self, counter: Counter) -> str:
        """The strictest action among the levels the spend has reached."""
        reached = (level.enforce for level in self.budget.ladder[: counter.reached])
        return max(reached, key=ACTIONS.index, default="allow")

    def current(self, now: int) -> Counter | None:
        """The counter of the window that holds `now`, when anything was spent in it."""
        if self.is_ceiling:
            return None
        if self.is_rolling:
            return self.counters.get(0)
        return self.counters.get(self.calendar.at(now)[0])
