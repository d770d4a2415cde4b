"""The producer before it has taken anything over."""

import asyncio
import time

import pytest

from loadgen.produce import ProduceFailed, Producer


def test_without_a_broker_it_says_so_within_seconds():
    started = time.monotonic()
    with pytest.raises(ProduceFailed, match="no Kafka broker answers"):
        asyncio.run(Producer("127.0.0.1:9").start())
    assert time.monotonic() - started < 20
