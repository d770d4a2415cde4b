"""Every version of a record reads the one before it, and the one before reads it: services are upgraded one by one."""

import copy
import io
import itertools
from typing import Any

import fastavro
import pytest

from spendstream.schemas import decode
from spendstream.schemas.catalogue import released_ids
from spendstream.schemas.codec import HEADER
from tests.contract.releases import (
    RELEASED,
    current_versions,
    declared_versions,
    digest,
    digests,
    file_of,
    meaning,
    released,
    unreadable,
)
from tests.contract.wire import RECORDS, records_of, schema


def test_every_declared_version_is_frozen_and_no_other() -> None:
    assert {path.name for path in RELEASED.glob("*.avsc")} == {file_of(*each).name for each in declared_versions()}


def test_no_frozen_version_was_edited() -> None:
    assert digests() == {path.name: digest(path) for path in RELEASED.glob("*.avsc")}


def test_versions_of_a_record_count_from_one_without_gaps() -> None:
    for record in RECORDS:
        versions = [version for name, version in declared_versions() if name == record]
        assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize("record", RECORDS)
def test_a_schema_is_changed_only_together_with_its_version(record: str) -> None:
    """Else: raise the version in topics.yaml (a new entry, a new id) and run `python -m tests.contract.releases`."""
    assert meaning(schema(record)) == meaning(released(record, current_versions()[record]))


@pytest.mark.parametrize("record", RECORDS)
def test_what_any_released_version_wrote_reads_with_the_current_schema(record: str) -> None:
    for version in range(1, current_versions()[record] + 1):
        assert unreadable(released(record, version), schema(record)) == []


@pytest.mark.parametrize("record", RECORDS)
def test_what_a_version_writes_reads_with_the_version_before(record: str) -> None:
    """A service that is not upgraded yet reads what its upgraded neighbour writes."""
    versions = [released(record, version) for version in range(1, current_versions()[record] + 1)]
    assert unreadable(schema(record), versions[-1]) == []
    for older, newer in itertools.pairwise(versions):
        assert unreadable(newer, older) == []


@pytest.mark.parametrize("wire_id", sorted(released_ids()))
def test_bytes_under_an_older_wire_id_are_read_as_the_current_record(wire_id: int) -> None:
    record, version = released_ids()[wire_id]
    older, out = released(record, version), io.BytesIO()
    example = records_of(older)[0]
    fastavro.schemaless_writer(out, fastavro.parse_schema(older), example)
    name, read = decode(HEADER.pack(0, wire_id) + out.getvalue())
    assert name == record
    assert {field["name"] for field in schema(record)["fields"]} == set(read)


def changed(record: str, **changes: Any) -> dict[str, Any]:
    """The current schema with fields replaced, added (a dict) or removed (None)."""
    new = copy.deepcopy(schema(record))
    known = {field["name"] for field in new["fields"]}
    kept = [field for field in new["fields"] if field["name"] not in changes]
    altered = [{**field, **changes[field["name"]]} for field in new["fields"] if changes.get(field["name"])]
    added = [{"name": name, **change} for name, change in changes.items() if name not in known]
    return {**new, "fields": kept + altered + added}


OPTIONAL = {"type": ["null", "string"], "default": None}
SEVERITY = {"type": "enum", "name": "Severity", "symbols": ["notice", "warning", "action", "critical", "page", "fire"]}


@pytest.mark.parametrize(
    "harmless",
    [changed("Usage", experiment=OPTIONAL), changed("Usage", route=None), changed("Usage", latency_ms={"doc": "ms"})],
    ids=["optional field added", "optional field removed", "doc changed"],
)
def test_a_harmless_change_passes_both_ways(harmless: dict[str, Any]) -> None:
    assert unreadable(schema("Usage"), harmless) == []
    assert unreadable(harmless, schema("Usage")) == []


@pytest.mark.parametrize(
    ("record", "harmful", "way"),
    [
        ("Usage", changed("Usage", tenant={"type": "string"}), "backward"),
        ("Usage", changed("Usage", model=None), "forward"),
        ("Usage", changed("Usage", input_tokens={"type": "string", "default": ""}), "backward"),
        ("Usage", changed("Usage", latency_ms={"type": "int"}), "backward"),
        ("Usage", changed("Usage", max_tokens={"type": "long", "default": 0}), "backward"),
        ("Usage", changed("Usage", model={"type": ["null", "string"], "default": None}), "forward"),
        ("Alert", changed("Alert", severity={"type": SEVERITY}), "forward"),
    ],
    ids=["required field added", "required field removed", "type changed", "number narrowed", "null forbidden",
         "null allowed", "symbol added"],
)  # fmt: skip
def test_a_harmful_change_is_found(record: str, harmful: dict[str, Any], way: str) -> None:
    now = schema(record)
    assert unreadable(now, harmful) if way == "backward" else unreadable(harmful, now)
