"""Lines of recordings: the Prometheus text format, a sample at a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_LINE: Final = re.compile(
    r"(?P<name>[A-Za-z_:][\w:]*)\s*(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+(?P<at>-?\d+(?:\.\d+)?))?\s*"
)
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


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a series; `number` is the same for the same labels, in whatever order they stand."""

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
        found = _LINE.fullmatch(text)
        if found is None:
            return BadLine(number, "is no sample of the Prometheus text format")
        name, labels_text, value_text, at = found.groups()
        labels = self._known.get(labels_text or "") or self._labels(labels_text or "")
        if isinstance(labels, str):
            return BadLine(number, f"labels cannot be read from {labels[:40]!r} on")
        try:
            value = float(value_text)
        except ValueError:
            return BadLine(number, f"{value_text!r} is not a number")
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


def _milliseconds(at: str | None) -> int | None:
    if at is None:
        return None
    seconds = "." in at or abs(int(at)) < _LEAST_MS
    return round(float(at) * 1_000) if seconds else int(at)
