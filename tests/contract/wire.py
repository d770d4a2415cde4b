"""The declarations as the contract tests see them: walks over schemas, examples as values, records made to order."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from spendstream.schemas.catalogue import directory, record_json, schema_ids

RECORDS = sorted(schema_ids())
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
#: Times fastavro can show as a datetime: the years 1 to 9999.
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
INT64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)])
TEXT = st.text(max_size=12)
#: A few values of each plain type.
SCALARS: dict[str, list[Any]] = {
    "null": [None], "boolean": [True, False], "string": ["text", ""], "bytes": [b"\0"], "int": [2**31 - 1],
    "long": [2**63 - 1, -1], "double": [0.5],
}  # fmt: skip


class Field(NamedTuple):
    """One field with where it is: `EnforcementState.budgets.name`."""

    path: str
    declared: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.declared["name"])

    @property
    def type(self) -> Any:
        """The type without the null of an optional field."""
        return unwrapped(self.declared["type"])


def schema(record: str) -> dict[str, Any]:
    """Declaration of a record, references to other records inlined."""
    found: dict[str, Any] = json.loads(record_json(record))
    return found


def unwrapped(declared: Any) -> Any:
    """The one type of an optional; any other type as it is."""
    branches = [each for each in declared if each != "null"] if isinstance(declared, list) else [declared]
    return branches[0] if len(branches) == 1 else branches


def named_types(declared: Any) -> Iterator[dict[str, Any]]:
    """Every record and enum inside a declaration, itself included."""
    if isinstance(declared, list):
        for each in declared:
            yield from named_types(each)
    elif isinstance(declared, dict):
        if declared["type"] in ("record", "enum"):
            yield declared
        for key in ("type", "items", "values"):
            if isinstance(declared.get(key), dict | list):
                yield from named_types(declared[key])
        for field in declared.get("fields", ()):
            yield from named_types(field["type"])


def fields(record: str) -> list[Field]:
    """Every field of a record, those of nested records included."""
    return list(_fields(record, schema(record)))


def _fields(path: str, record: dict[str, Any]) -> Iterator[Field]:
    for declared in record["fields"]:
        found = Field(f"{path}.{declared['name']}", declared)
        yield found
        inner = found.type
        if isinstance(inner, dict) and inner["type"] == "array":
            inner = inner["items"]
        if isinstance(inner, dict) and inner["type"] == "record":
            yield from _fields(found.path, inner)


def is_time(declared: Any) -> bool:
    return isinstance(declared, dict) and declared.get("logicalType") == "timestamp-micros"


def is_number(declared: Any) -> bool:
    return declared in ("int", "long", "float", "double")


def example_files(prefix: str) -> list[Path]:
    """Examples whose name starts with `valid-` or `invalid-`."""
    return sorted((directory() / "examples").glob(f"*/{prefix}-*.json"))


def from_json(declared: Any, value: Any) -> Any:
    """The value an example's JSON stands for: times are RFC 3339 text, bytes are base64, the rest is itself."""
    kind = unwrapped(declared)
    if is_time(kind) and isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    if kind == "bytes" and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if isinstance(kind, dict) and kind["type"] == "array" and isinstance(value, list):
        return [from_json(kind["items"], each) for each in value]
    if isinstance(kind, dict) and kind["type"] == "record" and isinstance(value, dict):
        types = {field["name"]: field["type"] for field in kind["fields"]}
        return {name: from_json(types[name], each) if name in types else each for name, each in value.items()}
    return value


def in_full(declared: Any, value: Any) -> Any:
    """The value with every default filled in: what decoding must give."""
    kind = unwrapped(declared)
    if isinstance(kind, dict) and kind["type"] == "array":
        return [in_full(kind["items"], each) for each in value]
    if isinstance(kind, dict) and kind["type"] == "record":
        return {f["name"]: in_full(f["type"], value.get(f["name"], f.get("default"))) for f in kind["fields"]}
    return value


def values(declared: Any, items: int = 3) -> st.SearchStrategy[Any]:
    """Any value of a type; arrays and maps have at most `items` entries."""
    if isinstance(declared, list):
        return st.one_of([values(each, items) for each in declared])
    if is_time(declared):
        return st.integers(FIRST_US, LAST_US).map(lambda us: EPOCH + timedelta(microseconds=us))
    if isinstance(declared, dict):
        match declared["type"]:
            case "record":
                return st.fixed_dictionaries({f["name"]: values(f["type"], items) for f in declared["fields"]})
            case "enum":
                return st.sampled_from(declared["symbols"])
            case "map":
                return st.dictionaries(TEXT, values(declared["values"]), max_size=items)
            case "array":
                return st.lists(values(declared["items"], items), max_size=items)
    return {
        "null": st.none(),
        "boolean": st.booleans(),
        "string": TEXT,
        "bytes": st.binary(max_size=12),
        "long": INT64,
        "double": st.floats(allow_nan=False),
    }[declared]


def every_branch(declared: Any) -> list[Any]:
    """A few values of a type that together take every branch of its unions and every symbol of its enums."""
    if isinstance(declared, list):
        return [value for branch in declared for value in every_branch(branch)]
    if is_time(declared):
        return [EPOCH + timedelta(days=20_000)]
    if isinstance(declared, dict):
        match declared["type"]:
            case "record":
                return records_of(declared)
            case "enum":
                return list(declared["symbols"])
            case "map":
                return [{"key": value} for value in every_branch(declared["values"])] + [{}]
            case "array":
                return [every_branch(declared["items"]), []]
    return SCALARS[declared]


def records_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Records that together take every branch of every field."""
    choices = {field["name"]: every_branch(field["type"]) for field in record["fields"]}
    count = max(len(each) for each in choices.values())
    return [{name: each[i % len(each)] for name, each in choices.items()} for i in range(count)]
