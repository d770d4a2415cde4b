"""A value written by a version that a later one has replaced is read as the current one, by both decoders."""

import io
from typing import Any

import fastavro
import pytest

from spendstream.schemas import decode
from spendstream.schemas.catalogue import released_ids, released_schema, schema_ids
from spendstream.schemas.codec import HEADER
from tests.contract.runs import decoded, found, refused
from tests.contract.wire import in_full, records_of, schema

EARLIER = [
    (schema_id, *version) for schema_id, version in released_ids().items() if schema_ids()[version[0]] != schema_id
]


def written(schema_id: int, record: str, version: int) -> list[tuple[dict[str, Any], bytes]]:
    """Records that take every branch of a version, and their values as it wrote them."""
    old = released_schema(schema_id)
    values = []
    for each in records_of(old):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, old, each)
        values.append((each, HEADER.pack(0, schema_id) + out.getvalue()))
    return values


@pytest.mark.parametrize(("schema_id", "record", "version"), EARLIER)
def test_an_earlier_version_decodes_with_the_defaults_of_what_came_later(
    schema_id: int, record: str, version: int
) -> None:
    for sent, value in written(schema_id, record, version):
        assert decode(value) == (record, in_full(schema(record), sent))


def test_both_decoders_take_an_earlier_gpu_sample_and_refuse_half_of_one() -> None:
    [earlier] = [each for each in EARLIER if each[1:] == ("GpuSample", 1)]
    values = [value for _, value in written(*earlier)]
    columns = decoded([*values, values[0][:9]], "GpuSample")
    assert {row["declared_interval_ms"] for row in found(columns).values()} == {None}
    assert len(found(columns)) == len(values)
    assert refused(columns) == {len(values): "undecodable"}
