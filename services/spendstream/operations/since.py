"""Points in time as people type them."""

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(text: str, now: datetime) -> datetime:
    """`30s`, `15m`, `2h`, `7d` before `now`, or an RFC 3339 time (UTC where it names no zone); ValueError otherwise."""
    text = text.strip()
    if found := re.fullmatch(r"(\d+)([smhd])", text):
        try:
            return now - timedelta(seconds=int(found[1]) * UNITS[found[2]])
        except OverflowError:
            raise ValueError(f"{text!r} is before all time") from None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither an age such as 30m, 2h or 7d nor a time such as 2026-03-01T09:00Z"
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
