"""Ports for stacks that start side by side."""

import socket
from contextlib import suppress

from spendstream.runtime.stack.ports import LOOPBACK, PRIVATE, free_port


def test_no_port_is_given_twice_and_none_lies_where_outgoing_connections_get_theirs() -> None:
    found = [free_port() for _ in range(30)]
    assert len(set(found)) == len(found) and set(found) <= set(PRIVATE)


def test_a_port_somebody_has_is_passed_over() -> None:
    taken = PRIVATE[(PRIVATE.index(free_port()) + 1) % len(PRIVATE)]
    with socket.socket() as somebody:
        with suppress(OSError):  # somebody else has it: as good
            somebody.bind((LOOPBACK, taken))
        assert free_port() != taken
