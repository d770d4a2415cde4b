"""What a service plugs into a lane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from spendstream.runtime.control import ControlLog
from spendstream.runtime.kafka.publisher import Message


@dataclass(frozen=True)
class Emissions:
    """Messages by topic, in order."""

    topics: Mapping[str, Sequence[Message]] = field(default_factory=dict)


class Engine(Protocol):
    """State machine over cost differences. Time is an argument; `now` is microseconds since the epoch."""

    @property
    def recalls(self) -> tuple[str, ...]:
        """Topics whose records `recall` wants to see."""

    def update(self, deltas: pl.DataFrame, now: int) -> Emissions:
        """Take differences (see `differences.to_frame`)."""

    def tick(self, now: int) -> Emissions:
        """Let time pass."""

    def control(self, log: ControlLog, now: int) -> Emissions:
        """Take the control documents in force."""

    def recall(self, topic: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Learn what was published after the snapshot that was restored."""

    def caught_up(self, now: int) -> Emissions:
        """Everything that was on the topic when the lane was loaded has been taken."""

    def snapshot(self) -> dict[str, Any]: ...

    def restore(self, snapshot: Mapping[str, Any]) -> None: ...
