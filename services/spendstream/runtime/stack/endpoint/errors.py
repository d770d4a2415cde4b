"""ClickHouse's errors over HTTP: the code in a header, the text in the body, the status ClickHouse would send."""

from __future__ import annotations

import re

_CODE = re.compile(r"^Code: (\d+)\.\s*")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)\s*$")

BAD_ARGUMENTS = 36
SYNTAX_ERROR = 62
UNKNOWN_SETTING = 115
READONLY = 164
QUERY_IS_TOO_LARGE = 229
CANNOT_DECOMPRESS = 271
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
AUTHENTICATION_FAILED = 516
NOT_IMPLEMENTED = 48
QUERY_WAS_CANCELLED = 394

_STATUS = {
    400: {
        6,
        25,
        26,
        27,
        36,
        38,
        41,
        43,
        44,
        53,
        62,
        69,
        70,
        72,
        117,
        130,
        167,
        168,
        184,
        223,
        321,
        131,
        190,
        CANNOT_DECOMPRESS,
    },
    404: {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 372, 511, 16},
    403: {192, 193, 497, 516},
    401: {194},
    408: {159},
    411: {381},
    413: {QUERY_IS_TOO_LARGE},
    501: {48},
    503: {209},
}


class ClickHouseError(Exception):
    """An answer of ClickHouse's own kind: ``code`` (system.errors), ``text`` without the ``Code:`` prefix."""

    def __init__(self, code: int, text: str, name: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text if not name or text.endswith(f"({name})") else f"{text} ({name})"

    @classmethod
    def of_engine(cls, error: Exception) -> ClickHouseError:
        """Read what chDB raised; its text starts with ``Code: N. DB::Exception:``, nested ones repeat it."""
        text = str(error).strip()
        match = _CODE.match(text)
        code = int(match.group(1)) if match else 1001
        while (match := _CODE.match(text)) is not None:
            text = text[match.end() :].removeprefix("DB::Exception: ")
        return cls(code, text)

    @property
    def status(self) -> int:
        """The HTTP status ClickHouse answers this code with (500 for all it does not list)."""
        return next((status for status, codes in _STATUS.items() if self.code in codes), 500)

    def body(self, version: str) -> str:
        """The text clients parse: prefix, message, (NAME), (version …)."""
        name = "" if _NAME.search(self.text) else " (UNKNOWN_EXCEPTION)"
        return f"Code: {self.code}. DB::Exception: {self.text}{name} (version {version} (embedded chDB))\n"
