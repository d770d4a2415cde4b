"""The one place that reads the clock; everything else is handed the time."""

import time


def now_us() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1_000


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def awake_s() -> float:
    """Seconds on a clock that nobody sets and that goes on while the process or the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
