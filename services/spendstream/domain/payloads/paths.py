"""Where a value lies in a payload, written the way the tables of this package write it.

    usage.prompt_tokens                        a path: keys with dots between them
    usage.cacheDetails[ttl=1h].inputTokens     the sum over the items of a list whose `ttl` is `1h`
    a.b + a.c - a.d                            a sum; the first path must be there, the others count 0 when they are not
    a.b | c.d                                  alternatives: the first one that is there

A key may itself have dots (OpenTelemetry attributes, CSV headers): at each step the longest key that leads on is taken.
`null` and the empty text count as not there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

_STEP = re.compile(r"(?P<key>[^\[\]]+)(?:\[(?P<field>[^=\]]+)=(?P<value>[^\]]*)\])?")


class NotACount(ValueError):
    """A value that must be a whole number and is not."""


@dataclass(frozen=True, slots=True)
class Term:
    """A path and its sign."""

    path: tuple[str, ...]
    sign: int = 1

    @property
    def text(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Expression:
    """Alternatives, each a sum of terms."""

    text: str
    alternatives: tuple[tuple[Term, ...], ...]

    def there(self, payload: Mapping[str, Any]) -> tuple[Term, ...] | None:
        """The first alternative whose first path is in `payload`."""
        return next((terms for terms in self.alternatives if look_up(payload, terms[0].path) is not None), None)

    def count(self, payload: Mapping[str, Any]) -> int | None:
        """The whole number it comes to; None when it is not there. `NotACount` names the path that is none."""
        terms = self.there(payload)
        if terms is None:
            return None
        return sum(term.sign * _whole(term, look_up(payload, term.path)) for term in terms)

    def value(self, payload: Mapping[str, Any]) -> Any:
        """The value itself, of any kind; None when it is not there."""
        return next(self.values(payload), None)

    def values(self, payload: Mapping[str, Any]) -> Iterator[Any]:
        """The values of all alternatives that are there."""
        found = (look_up(payload, terms[0].path) for terms in self.alternatives)
        return (value for value in found if value is not None)


@cache
def expression(text: str) -> Expression:
    """The expression `text` spells."""
    return Expression(text, tuple(_terms(alternative.split()) for alternative in text.split("|")))


def _terms(words: Sequence[str]) -> tuple[Term, ...]:
    terms, sign = [], 1
    for word in words:
        if word in ("+", "-"):
            sign = 1 if word == "+" else -1
        else:
            terms.append(Term(tuple(word.split(".")), sign))
    return tuple(terms)


def look_up(value: Any, path: tuple[str, ...]) -> Any:
    """The value at a path; None when it is not there."""
    if not path:
        return None if value == "" else value
    if not isinstance(value, Mapping):
        return None
    for key, selector, rest in _ways(path):
        if key in value:
            found = _over_items(value[key], selector, rest) if selector else look_up(value[key], rest)
            if found is not None:
                return found
    return None


@cache
def _ways(path: tuple[str, ...]) -> tuple[tuple[str, tuple[str, str] | None, tuple[str, ...]], ...]:
    """How a path may begin, the longest key first: the key, its selector if it has one, and the rest of the path."""
    ways = []
    for length in range(len(path), 0, -1):
        text = ".".join(path[:length])
        found = _STEP.fullmatch(text)
        selector = (found["field"], found["value"]) if found and found["field"] is not None else None
        ways.append((found["key"] if found and selector else text, selector, path[length:]))
    return tuple(ways)


def _over_items(items: Any, selector: tuple[str, str], rest: tuple[str, ...]) -> Any:
    """The sum of `rest` over the items that match; 0 when the list is there and none does."""
    field, wanted = selector
    if not isinstance(items, Sequence) or isinstance(items, str):
        return None
    chosen = [item for item in items if isinstance(item, Mapping) and str(item.get(field)) == wanted]
    return sum(_whole(Term(rest), look_up(item, rest)) for item in chosen)


def _whole(term: Term, value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        try:
            if isinstance(value, str):
                return int(value)
            if not isinstance(value, bool) and value == int(value):
                return int(value)
        except (TypeError, ValueError, OverflowError):
            pass
        raise NotACount(f"{term.text} is {value!r}, not a whole number")
    return value
