"""Ports on 127.0.0.1: free ones for tests, and a clear word where a fixed one is taken."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class PortTakenError(RuntimeError):
    """Something else listens there."""


def require_free(port: int, setting: str) -> None:
    """Raise PortTakenError, naming the setting that moves us elsewhere."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise PortTakenError(
                f"port {port} on {LOOPBACK} is taken by another process; free it or choose another with {setting}"
            ) from None


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """True when something accepts connections there."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=0.5).close()
    except OSError:
        return False
    return True
