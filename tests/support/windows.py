"""A budget window that neither begins nor ends while a test runs, whenever that is."""

from datetime import UTC, datetime, timedelta

STARTS = {"hour": "%Y-%m-%d %H", "day": "%Y-%m-%d", "week": "%G-%V", "month": "%Y-%m"}


def lasting(*windows: str, back: timedelta = timedelta(0), ahead: timedelta = timedelta(minutes=20)) -> str:
    """The first of the windows that holds everything from `back` ago to `ahead` from now; the last one if none does."""
    now = datetime.now(UTC)
    for window in windows:
        if f"{now - back:{STARTS[window]}}" == f"{now + ahead:{STARTS[window]}}":
            return window
    return windows[-1]
