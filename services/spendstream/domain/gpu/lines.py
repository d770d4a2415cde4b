"""Lines of recordings: the Prometheus text format, a sample at a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z_:][\w:]*")
_TIME: Final = re.compile(r"-?\d+(\.\d+)?")
_LABEL: Final = re.compile(r'\s*([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPES: Final = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
#: Prometheus writes times as milliseconds, OpenMetrics as seconds; no recording is from before 1973.
_LEAST_MS: Final = 100_000_000_000
_REMEMBERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read. `line` counts from 1."""

    line: int
    problem: str


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The labels of a series, one object for one text. `number` is the same for the same labels in another order."""

    named: Mapping[str, str]
    number: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample; `at_ms` is None where the line says no time."""

    line: int
    metric: str
    labels: Labels
    value: float
    at_ms: int | None


@dataclass(slots=True)
class LineReader:
    """Reads lines; remembers labels, because every scrape has them again."""

    _known: dict[str, Labels] = field(default_factory=dict)
    _numbers: dict[frozenset[tuple[str, str]], int] = field(default_factory=dict)

    def read(self, number: int, text: str) -> Reading | BadLine | None:
        """The sample on a line; None for a comment or nothing."""
        text = text.strip()
        if not text or text.startswith("#"):
            return None
        name, labels_text, fields = _cut(text)
        at = fields[1] if len(fields) > 1 else None
        if len(fields) not in (1, 2) or (at is not None and not _TIME.fullmatch(at)) or not _is_name(name):
            return BadLine(number, "is no sample of the Prometheus text format")
        labels = self._known.get(labels_text) or self._labels(labels_text)
        if isinstance(labels, str):
            return BadLine(number, f"labels cannot be read from {labels[:40]!r} on")
        try:
            value = float(fields[0])
        except ValueError:
            return BadLine(number, f"{fields[0]!r} is not a number")
        return Reading(number, name, labels, value, _milliseconds(at))

    def _labels(self, text: str) -> Labels | str:
        """The labels of a text, or where it can no longer be read."""
        named, rest = {}, text
        while rest:
            label = _LABEL.match(rest)
            if label is None:
                return rest
            named[label[1]] = re.sub(r'\\[\\"n]', lambda escape: _ESCAPES[escape[0]], label[2])
            rest = rest[label.end() :]
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        number = self._numbers.setdefault(frozenset(named.items()), len(self._numbers))
        self._known[text] = labels = Labels(named, number)
        return labels


def _cut(text: str) -> tuple[str, str, list[str]]:
    """Name, labels and what follows: value and perhaps time. Label values may hold any bracket."""
    name, has_labels, rest = text.partition("{")
    if not has_labels:
        name, *fields = text.split()
        return name, "", fields
    labels, _, tail = rest.rpartition("}")
    return name.rstrip(), labels, tail.split()


@lru_cache(maxsize=1_000)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _milliseconds(at: str | None) -> int | None:
    if at is None:
        return None
    seconds = "." in at or abs(int(at)) < _LEAST_MS
    return round(float(at) * 1_000) if seconds else int(at)
