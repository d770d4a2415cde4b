"""The quick encoder and the vectorised partitioner give the very bytes and numbers of the originals."""

from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from loadgen.partitions import partitions_of
from loadgen.wire import UsageEncoder, defaults
from spendstream.schemas import decode, encode

TEXT = st.text(max_size=40)
COUNT = st.integers(-(2**62), 2**62)
RECORDS = st.builds(
    lambda values: {**defaults(), **values},
    st.fixed_dictionaries(
        {
            "event_id": TEXT,
            "occurred_at": st.integers(0, 2**50),
            "team": st.none() | TEXT,
            "input_tokens": COUNT,
            "output_tokens": st.integers(0, 20_000),
            "max_tokens": st.none() | COUNT,
            "cache_hit": st.booleans(),
            "convention": st.sampled_from(["inclusive", "disjoint"]),
            "attributes": st.dictionaries(TEXT, TEXT, max_size=3),
        }
    ),
)
ENCODER = UsageEncoder()


@given(RECORDS)
def test_a_record_has_the_codecs_bytes(record):
    assert ENCODER.single(record) == encode("Usage", record)


@given(st.lists(RECORDS, max_size=5))
def test_a_batch_has_the_codecs_bytes(records):
    assert ENCODER.batch(records) == encode("UsageBatch", {"events": records})


def test_a_value_seen_often_and_one_seen_once_are_written_alike():
    records = [{**defaults(), "event_id": f"e-{n}", "latency_ms": n * 7} for n in range(6_000)]
    assert [ENCODER.single(record) for record in records] == [encode("Usage", record) for record in records]


def test_what_was_encoded_decodes_to_the_record():
    record = {**defaults(), "event_id": "e", "attributes": {"k": "v"}}
    name, found = decode(ENCODER.single(record))
    assert name == "Usage"
    assert found["attributes"] == {"k": "v"}
    assert found["event_id"] == "e"


@given(st.lists(st.binary(max_size=60), max_size=50), st.integers(1, 64))
def test_an_id_lives_where_kafkas_default_partitioner_puts_it(ids, count):
    assert partitions_of(ids, count).tolist() == [(murmur2(i) & 0x7FFFFFFF) % count for i in ids]
