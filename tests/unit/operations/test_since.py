"""Points in time as people type them."""

from datetime import UTC, datetime, timedelta

import pytest

from spendstream.operations.since import moment

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", NOW - timedelta(seconds=30)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        (" 7d ", NOW - timedelta(days=7)),
        ("2026-02-01", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-02-01T09:00:00+02:00", datetime(2026, 2, 1, 7, tzinfo=UTC)),
    ],
)
def test_ages_and_times_are_understood(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "2w", "-3h", "yesterday", "99999999999d"])
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither an age|before all time"):
        moment(text, NOW)
