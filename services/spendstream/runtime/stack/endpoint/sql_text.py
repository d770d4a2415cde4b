"""Enough reading of SQL to serve it over HTTP: which statement, which format, where an INSERT's data begins.

This is a lexer, not a parser: the engine judges the SQL. Everything works on bytes, because an INSERT's data
follows its statement in the same body and need not be text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*|\#[!\ ][^\n]*|/\*.*?\*/)
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<word>[A-Za-z_0-9]+)
    |(?P<open>[(\[{])|(?P<close>[)\]}])
    |(?P<end>;)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_DATA_GAP = re.compile(rb"[ \t\f]*;?[ \t\f]*\r?\n?")


@dataclass(frozen=True, slots=True)
class Word:
    """A bare word outside quotes and brackets, or ``;`` (text is upper case)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Insert:
    """Where an INSERT takes its data from: ``infile_at`` is where ``FROM INFILE`` belongs."""

    infile_at: int
    statement_end: int
    data_at: int
    inline_values: bool


def words(sql: bytes) -> Iterator[Word]:
    """Bare words at bracket depth 0; a word behind a dot is a name and is left out."""
    depth = 0
    after_dot = False
    for token in _TOKEN.finditer(sql):
        kind = token.lastgroup
        if kind == "space":
            continue
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        elif depth == 0 and kind in ("word", "end") and not after_dot:
            yield Word(token.group().decode("ascii").upper(), token.start(), token.end())
        elif depth == 0 and kind in ("quoted", "tag"):
            yield Word("'quoted'", token.start(), token.end())
        after_dot = kind == "other" and token.group() == b"."


def keyword(sql: bytes) -> str:
    """The first word of the statement, upper case ('' for an empty text); ``(SELECT 1)`` counts as SELECT."""
    return next((word.text for word in words(sql.lstrip(b"( \t\r\n"))), "")


def has_second_statement(sql: bytes) -> bool:
    """True for ``a; b``: ClickHouse refuses it over HTTP, and so do we (62)."""
    ended = False
    for word in words(sql) if b";" in sql else ():
        if word.text == ";":
            ended = True
        elif ended:
            return True
    return False


def output_format(sql: bytes) -> str | None:
    """The name behind a closing FORMAT clause, in its own spelling."""
    found: list[Word] = [word for word in words(sql) if word.text != ";"]
    for at in range(len(found) - 2, -1, -1):
        if found[at].text == "FORMAT" and (at + 2 == len(found) or found[at + 2].text == "SETTINGS"):
            return sql[found[at + 1].start : found[at + 1].end].decode("ascii", "replace")
    return None


def insert_with_data(sql: bytes) -> Insert | None:
    """The split of an INSERT that takes data from the request; None where it takes none, or is not complete yet."""
    found = words(sql)
    first = next(found, None)
    if first is None or first.text != "INSERT":
        return None
    _skip_target(found)
    settings_at: int | None = None
    for word in found:
        if word.text in ("SELECT", "WITH", "FROM", "WATCH", ";"):
            return None
        if word.text == "SETTINGS":
            settings_at = word.start
        elif word.text == "VALUES":
            return Insert(settings_at or word.start, word.start, word.end, inline_values=True)
        elif word.text == "FORMAT":
            return _behind_format(sql, word, next(found, None), settings_at)
    return None


def insert_without_format(sql: bytes) -> bool:
    """True for ``INSERT INTO t (a, b)`` with nothing behind it: the format comes from a header or a parameter."""
    texts = [word.text for word in words(sql)]
    return bool(texts) and texts[0] == "INSERT" and not {"SELECT", "WITH", "VALUES", "FORMAT", "INFILE"} & set(texts)


def _skip_target(found: Iterator[Word]) -> None:
    """Step over ``INTO [TABLE | FUNCTION] name``, so that a table called ``format`` is no keyword."""
    for word in found:
        if word.text not in ("INTO", "TABLE", "FUNCTION"):
            return


def _behind_format(sql: bytes, word: Word, name: Word | None, settings_at: int | None) -> Insert | None:
    if name is None:
        return None
    gap = _DATA_GAP.match(sql, name.end)
    data_at = gap.end() if gap else name.end
    at = settings_at if settings_at is not None else word.start
    return Insert(at, name.end, data_at, inline_values=False)
