"""Cells of a bill as exact values: amounts as spreadsheets write them, times in UTC, tags as text.

Every reader here raises `ValueError` with a message that can stand behind a column's name.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache

from spendstream.domain.money import decimal_from

NULLS = frozenset(("", "null"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What a ClickHouse `DateTime` can hold.
LAST_YEAR = 2105
DAY_US = 86_400_000_000
#: End of LAST_YEAR, microseconds.
END_US = (datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
#: More than any bill shows, and what `Decimal(76, 30)` keeps.
MOST_DECIMALS = 30
LARGEST = Decimal(10) ** 24

_NUMBER = re.compile(r"(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d*)?(?:[eE][+-]?\d{1,3})?")
# 4/1/25 as the examples of the FOCUS specification write it: month first.
_US_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2}|\d{4})(?: (\d{1,2}):(\d{2})(?::(\d{2}))?)?")
_WIDE = Context(prec=120, rounding=ROUND_HALF_EVEN)


def known(text: str | None) -> str | None:
    """The cell without blanks around it; None for an empty cell and for the text NULL in any case."""
    stripped = (text or "").strip()
    return None if stripped.lower() in NULLS else stripped


def amount(text: str) -> Decimal:
    """An exact amount: `12`, `-0.00000080000`, `1E-7`, `$10,000.00`, `(5.00)` for minus five.

    What is left behind the thirtieth decimal is rounded, half-even: doubles are written with such tails.
    """
    bare, sign = text.strip(), ""
    if bare.startswith("(") and bare.endswith(")"):
        bare, sign = bare[1:-1].strip(), "-"
    if bare.startswith(("+", "-")):
        bare, sign = bare[1:].lstrip(), bare[0] if not sign else "?"
    bare = bare.removeprefix("$").strip()
    if sign == "?" or not any(digit.isdigit() for digit in bare) or _NUMBER.fullmatch(bare) is None:
        raise ValueError(f"{text!r} is not a number")
    value = decimal_from(sign + bare.replace(",", ""))
    if abs(value) >= LARGEST:
        raise ValueError(f"{text!r} is too large")
    return quantised(value, MOST_DECIMALS) if decimals(value) > MOST_DECIMALS else value


def amount_without_decimal_comma(text: str) -> Decimal:
    """The same, of a file whose cells are separated by semicolons: there `1,234` may be meant as 1.234, so a comma is
    only taken for a separator of thousands where a point comes behind it."""
    if "," in text and "." not in text.rpartition(",")[2]:
        raise ValueError(f"{text!r} may have a decimal comma: write it with a decimal point")
    return amount(text)


def decimals(value: Decimal) -> int:
    """Digits behind the point, as written."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def plain(value: Decimal) -> str:
    """The same number without an exponent; zeros behind the point stay."""
    return format(value, "f")


def quantised(value: Decimal, digits: int = 12) -> Decimal:
    """`value` with exactly so many decimals, half-even."""
    return value.quantize(Decimal(1).scaleb(-digits), context=_WIDE)


def product(left: Decimal, right: Decimal) -> Decimal:
    """`left × right`, exact for all amounts and rates that can be read here."""
    return _WIDE.multiply(left, right)


@lru_cache(maxsize=10_000)
def moment(text: str) -> int:
    """Microseconds since 1970 of an ISO 8601 time or date (UTC where it names no zone), or of month/day/year."""
    found = _us_date(text) if "/" in text else _iso(text)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    if found < EPOCH or found.year > LAST_YEAR:
        raise ValueError(f"{text!r} is not between 1970 and {LAST_YEAR}")
    return (found - EPOCH) // timedelta(microseconds=1)


def _iso(text: str) -> datetime:
    bare = text.removesuffix(" UTC")
    midnight = re.sub(r"[T ]24:00(:00(\.0+)?)?", "T00:00", bare)
    try:
        return datetime.fromisoformat(midnight) + timedelta(days=midnight != bare)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time: write it as 2026-11-01T00:00:00Z") from None


def _us_date(text: str) -> datetime:
    matched = _US_DATE.fullmatch(text)
    if matched is None:
        raise ValueError(f"{text!r} is not a time: write it as 2026-11-01T00:00:00Z")
    month, day, year, hour, minute, second = (int(part or 0) for part in matched.groups())
    try:
        return datetime(year + 2000 if year < 100 else year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{text!r} is not a time (month/day/year): write it as 2026-11-01T00:00:00Z") from None


def tags(text: str) -> dict[str, str]:
    """Tags from a JSON object, or from its inside without the braces, or from a list of `key` and `value`, as some
    exports write it.

    A value that is not text keeps its JSON form; a tag without a value (null) is left out.
    """
    body = text if text.startswith(("{", "[")) else f"{{{text}}}"
    try:
        found = json.loads(body)
        return text_map({each["key"]: each["value"] for each in found} if isinstance(found, list) else found)
    except (ValueError, LookupError, TypeError):
        raise ValueError("is not a JSON object of tags") from None


def text_map(found: Mapping[str, object]) -> dict[str, str]:
    """Keys and values as text; what is null is left out."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in found.items()
        if value is not None
    }


def day_of(at: int) -> tuple[int, int]:
    """Start and end of the UTC day of a moment, microseconds."""
    start = at // DAY_US * DAY_US
    return start, start + DAY_US


@lru_cache(maxsize=10_000)
def month_of(at: int) -> tuple[int, int]:
    """Start and end of the UTC month of a moment, microseconds."""
    first = (EPOCH + timedelta(microseconds=at)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return (first - EPOCH) // timedelta(microseconds=1), (following - EPOCH) // timedelta(microseconds=1)
