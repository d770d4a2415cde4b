"""The query behind a recommendation: anyone can run it against `charges` and must get the numbers it cites."""

from spendstream.domain.recommendations.profiles import DAY_MICROS, Profile
from spendstream.domain.recommendations.prompts import PromptProfile
from spendstream.domain.tokens import BUCKETS


def text(value: str) -> str:
    """`value` as a ClickHouse string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def moment(micros: int) -> str:
    """Microseconds UTC as a ClickHouse expression."""
    return f"fromUnixTimestamp64Micro({micros}, 'UTC')"


def traffic_query(profile: Profile) -> str:
    """Requests, input and output tokens and dollars of a profile."""
    where = [f"{name} = {text(value)}" for name, value in profile.target._asdict().items()]
    where += [f"ts >= {moment(profile.since)}", f"ts < {moment(profile.until)}"]
    sums = [
        f"sum({' + '.join(f'{b}_tokens' for b in BUCKETS if b.startswith(side))}) AS {side}tokens"
        for side in ("input_", "output_")
    ]
    return (
        f"SELECT sum(requests) AS requests, {', '.join(sums)}, sum(cost_usd) AS cost_usd\n"
        f"FROM charges\nWHERE {' AND '.join(where)}"
    )


def repeats_query(profile: PromptProfile) -> str:
    """Fingerprinted requests and dollars of a profile, and how many of them repeat within 24 h."""
    where = [f"{name} = {text(value)}" for name, value in profile.target._asdict().items()]
    where += [
        f"ts >= {moment(profile.since - DAY_MICROS)}",
        f"ts < {moment(profile.until)}",
        "prompt_hash != ''",
        "cost_usd > 0",
    ]
    window = "PARTITION BY prompt_hash ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"
    before = f"lagInFrame(toNullable(ts)) OVER ({window})"
    return (
        "SELECT sum(asked.requests) AS requests, sum(asked.cost_usd) AS cost_usd,\n"
        "       sumIf(asked.requests, repeated) AS repeats, sumIf(asked.cost_usd, repeated) AS repeat_cost_usd\n"
        f"FROM (SELECT ts, requests, cost_usd,\n             ifNull(ts - {before} <= 86400, false) AS repeated\n"
        f"      FROM charges\n      WHERE {' AND '.join(where)}) AS asked\n"
        f"WHERE ts >= {moment(profile.since)}"
    )
