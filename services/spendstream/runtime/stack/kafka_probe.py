"""Is a Kafka broker ready? One Metadata request by hand: an open port says less, a client library needs more."""

from __future__ import annotations

import socket
import struct

from spendstream.runtime.stack.ports import LOOPBACK

_METADATA, _VERSION, _CORRELATION = 3, 1, 7
_CLIENT = b"probe"
_NO_TOPICS = struct.pack(">i", 0)


def serves(port: int, timeout: float = 1.0) -> bool:
    """True when the broker answers Metadata and lists at least one (unfenced) broker."""
    header = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, len(_CLIENT)) + _CLIENT
    request = header + _NO_TOPICS
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(4096)
    except OSError:
        return False
    if len(answer) < 12:
        return False
    _, correlation, brokers = struct.unpack(">iii", answer[:12])
    return bool(correlation == _CORRELATION and brokers > 0)
