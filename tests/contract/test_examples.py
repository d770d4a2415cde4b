"""The examples beside the schemas are what they say: valid ones travel unchanged, invalid ones are refused."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from spendstream.schemas import decode, encode
from tests.contract.wire import RECORDS, example_files, from_json, in_full, schema

VALID, INVALID = example_files("valid"), example_files("invalid")


def label(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def loaded(path: Path) -> Any:
    return json.loads(path.read_text())


def test_every_record_has_valid_and_invalid_examples_and_nothing_else_lies_beside_them() -> None:
    folder = VALID[0].parents[1]
    assert sorted({path.parent.name for path in VALID}) == sorted({path.parent.name for path in INVALID}) == RECORDS
    assert sorted(folder.glob("*/*")) == sorted(VALID + INVALID)


@pytest.mark.parametrize("path", VALID, ids=label)
def test_a_valid_example_encodes_and_decodes_to_itself(path: Path) -> None:
    record, declared = path.parent.name, schema(path.parent.name)
    example = from_json(declared, loaded(path))
    assert decode(encode(record, example)) == (record, in_full(declared, example))


@pytest.mark.parametrize("path", VALID, ids=label)
def test_a_valid_example_has_only_declared_fields(path: Path) -> None:
    def undeclared(declared: Any, value: Any) -> set[str]:
        known = {field["name"] for field in declared["fields"]}
        return set(value) - known

    assert undeclared(schema(path.parent.name), loaded(path)) == set()


@pytest.mark.parametrize("record", RECORDS)
def test_the_valid_examples_of_a_record_show_every_field_of_it(record: str) -> None:
    shown = {name for path in VALID if path.parent.name == record for name in loaded(path)}
    assert {field["name"] for field in schema(record)["fields"]} - shown == set()


def refused(path: Path, example: dict[str, Any]) -> bool:
    """Whether the codec says no; anything but the errors it is allowed to say no with comes through."""
    try:
        if "base64" in example:
            decode(base64.b64decode(example["base64"], validate=True))
        else:
            encode(path.parent.name, from_json(schema(path.parent.name), example["record"]))
    except (ValueError, TypeError, OverflowError):  # Undecodable and UnicodeError are ValueErrors
        return True
    return False


@pytest.mark.parametrize("path", INVALID, ids=label)
def test_an_invalid_example_is_refused_and_says_why_it_must_be(path: Path) -> None:
    example = loaded(path)
    assert set(example) in ({"why", "field", "record"}, {"why", "base64"}) and example["why"]
    assert refused(path, example)


@pytest.mark.parametrize("path", [path for path in INVALID if "record" in loaded(path)], ids=label)
def test_an_invalid_example_is_refused_for_the_field_it_names(path: Path) -> None:
    example = loaded(path)
    valid = next(loaded(other) for other in VALID if other.parent == path.parent and example["field"] in loaded(other))
    example["record"][example["field"]] = valid[example["field"]]
    assert not refused(path, example)
