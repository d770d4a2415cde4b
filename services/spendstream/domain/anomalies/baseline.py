"""What is normal for a channel at this hour: robust season, level and scale, learned online for all series at once.

Values are logarithms, so that a ratio is a difference and one scale fits day and night; arrays are [..., channel,
series]. Each value moves its estimates by a bounded step (a clipped residual), so one incident cannot teach its own
normality. An hour not seen yet is unknown, not zero: `known` says so.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from spendstream.domain.anomalies.series import Floats
from spendstream.domain.slots import Array, Layout, Slots

Mask = npt.NDArray[np.bool_]

_DAY, _WEEK = 24, 168
_BIN_ENOUGH: Final = 6  # values (of 12 an hour) before an hour of the day speaks
_WEEK_ENOUGH: Final = 20  # two visits of an hour of the week
_LEVEL_ENOUGH: Final = 24  # two hours of traffic, before anything is normal
_BIN_MEMORY, _LEVEL_MEMORY, _SCALE_MEMORY, _ADJUST_MEMORY = 36, 288, 576, 36  # values
_SCALE_PRIOR: Final = 12  # values that the first guess of the scale weighs
_FIRST_SCALE: Final = 0.35
_PEAK_KEEP: Final = 0.5 ** (1 / 72)  # an hour: the largest ordinary score is halved in three days
MEAN_TO_SIGMA: Final = 1.2533  # of a normal distribution: standard deviation / mean absolute deviation


def layout(channels: int) -> Layout:
    """State arrays of `channels` channels."""
    c = (channels,)
    return {
        "day": ((_DAY, *c), "<f8", 0),
        "day_n": ((_DAY, *c), "<i8", 0),
        "week": ((_WEEK, *c), "<f8", 0),
        "week_n": ((_WEEK, *c), "<i8", 0),
        "level": (c, "<f8", 0),
        "n": (c, "<i8", 0),
        "adjust": (c, "<f8", 0),
        "scale": (c, "<f8", _FIRST_SCALE),
        "noise": (c, "<f8", 0),
        "peak": (c, "<f8", 0),
        "peak_before": (c, "<f8", 0),
        "peak_now": (c, "<f8", 0),
        # Derived, refreshed every learning step: the centre and the upper edge of normal for the coming minutes.
        "centre": (c, "<f8", 0),
        "upper": (c, "<f8", 0),
        "known": (c, "|b1", 0),
    }


def refresh(state: Slots, minute: int, by_level: Mask) -> None:
    """Set `centre`, `upper` and `known` for the minutes from `minute` on.

    `upper` takes the highest of this hour and its neighbours: traffic that comes an hour early is not an incident.
    `by_level` [channel]: channels that have a level without a season (a request costs about the same all day).
    """
    hour = minute // 60
    day, week = [(hour + i) % _DAY for i in (-1, 0, 1)], [(hour + i) % _WEEK for i in (-1, 0, 1)]
    day_upper = np.where(state["day_n"][day] >= _BIN_ENOUGH, state["day"][day], -np.inf).max(axis=0)
    week_upper = np.where(state["week_n"][week] >= _BIN_ENOUGH, state["week"][week], -np.inf).max(axis=0)
    day_known = state["day_n"][day[1]] >= _BIN_ENOUGH
    week_known = state["week_n"][week[1]] >= _WEEK_ENOUGH
    traffic = state["n"] >= _LEVEL_ENOUGH
    levelled = by_level[:, None] & traffic
    season = np.where(day_known, state["day"][day[1]], state["level"])
    centre = np.where(week_known, state["week"][week[1]], season) + state["adjust"]
    upper = np.where(week_known, week_upper, np.maximum(day_upper, week_upper))
    upper = np.where(levelled, np.maximum(upper, state["level"]), upper) + np.maximum(state["adjust"], 0)
    state["centre"][...] = centre
    state["known"][...] = levelled | (~by_level[:, None] & traffic & (day_known | week_known))
    state["upper"][...] = np.where(state["known"], np.maximum(upper, centre), centre)


def learn(state: Slots, minute: int, values: Floats, counts: Floats, *, valid: Mask, by_level: Mask) -> None:
    """Take one value per channel and series where `valid`; `counts` are the requests behind it (0: not a mean)."""
    hour = minute // 60
    _move(
        state["day"][hour % _DAY], state["day_n"][hour % _DAY], values, valid, scale=state["scale"], memory=_BIN_MEMORY
    )
    _move(
        state["week"][hour % _WEEK],
        state["week_n"][hour % _WEEK],
        values,
        valid,
        scale=state["scale"],
        memory=_BIN_MEMORY,
    )
    trusted = valid & state["known"]
    residual = values - state["centre"]
    clipped = np.clip(residual, -3 * state["scale"], 3 * state["scale"])
    rate = 1.0 / np.minimum(state["n"] + _SCALE_PRIOR, _SCALE_MEMORY)
    size = np.minimum(np.abs(residual), 4 * state["scale"])
    state["scale"][...] = np.where(trusted, state["scale"] + rate * (size - state["scale"]), state["scale"])
    noise = clipped**2 * counts
    state["noise"][...] = np.where(trusted, state["noise"] + rate * (noise - state["noise"]), state["noise"])
    today = np.clip(residual + state["adjust"], -3 * state["scale"], 3 * state["scale"])
    adjust = state["adjust"] + (today - state["adjust"]) / _ADJUST_MEMORY
    state["adjust"][...] = np.where(trusted & ~by_level[:, None], adjust, state["adjust"])
    _move(state["level"], state["n"], values, valid, scale=state["scale"], memory=_LEVEL_MEMORY)


def sigma(state: Slots, counts: Floats, floor: Floats) -> Floats:
    """Scale of a value: learned over time, not below what a mean of so few requests scatters, nor below `floor`."""
    sampling = np.sqrt(state["noise"] / np.maximum(counts, 1.0))
    return np.asarray(np.maximum(np.maximum(state["scale"] * MEAN_TO_SIGMA, sampling), floor[:, None]))


def remember_peaks(state: Slots, minute: int, scores: Floats, ordinary: Mask) -> None:
    """Keep the largest score of ordinary traffic: it must be exceeded to alarm. An hour counts from the end of the
    next one on, so that an incident that is still growing does not raise its own bar."""
    now = state["peak_now"]
    np.maximum(now, np.where(ordinary, scores, 0.0), out=now)
    if minute % 60 == 59:
        state["peak"][...] = np.maximum(state["peak"] * _PEAK_KEEP, state["peak_before"])
        state["peak_before"][...] = now
        now[...] = 0.0


def adopt(state: Slots, channel: int, slot: int, shift: float, highest: float) -> None:
    """Make a lasting change the new normal: move season and level of one channel by `shift`, up to `highest`.

    Hours that were learned from little may be far too low; what they lack must not be added to all others.
    """
    for name in ("day", "week", "level", "centre", "upper"):
        before = state[name][..., channel, slot]
        state[name][..., channel, slot] = np.minimum(before + shift, np.maximum(before, highest))


def _move(location: Array, seen: Array, values: Floats, valid: Mask, *, scale: Array, memory: int) -> None:
    """Robust running location: a mean of the first values, then steps of at most 3 scales."""
    bound = np.where(seen < 3, np.inf, 3 * np.maximum(scale, 0.1))
    rate = 1.0 / np.minimum(seen + 1, memory)
    location[...] = np.where(valid, location + rate * np.clip(values - location, -bound, bound), location)
    seen += valid
