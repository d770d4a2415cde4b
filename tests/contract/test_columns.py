"""The columnar decoder and fastavro agree: on good records field by field, on bad bytes about what may pass."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spendstream.runtime.kafka.attributes import LONGEST_VALUE, NAME, attribute, map_array
from spendstream.runtime.kafka.columns import BATCH_BYTES, encode_batches
from spendstream.schemas import Undecodable, decode, encode
from tests.contract.runs import BATCH_OF, Values, decoded, expected, found, refused
from tests.contract.wire import LAST_US, example_files, from_json, schema, values

USAGE, ROLLUP = values(schema("Usage")), values(schema("CostRollup"))
CORRECTION = values(schema("Correction"))
GPU_CORRECTION = values(schema("GpuCorrection"))
BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: What a run may hold beside good records: no value, no header, a foreign record, an unknown schema, half a record.
STRANGERS: Values = [None, b"", b"\0\0", b'{"event_id": "1"}', b"\0\0\0\x03\xe7", b"\0\0\0\0\x01\x0edefault\x10req"]


def examples(record: str) -> list[bytes]:
    paths = [path for path in example_files("valid") if path.parent.name == record]
    return [encode(record, from_json(schema(record), json.loads(path.read_text()))) for path in paths]


def assert_agreed(run: Values, single: str) -> None:
    """Every record is accepted in log order with fastavro's values, or refused with its reason; nothing is added."""
    columns = decoded(run, single)
    events, reasons = expected(run, single)
    accepted = found(columns)
    assert list(accepted) == sorted(events)
    assert accepted == events
    assert refused(columns) == reasons


@pytest.mark.parametrize("single", ["Usage", "CostRollup", "Correction", "GpuCorrection"])
def test_the_examples_decode_alike(single: str) -> None:
    run: Values = [*examples(single), *(examples(BATCH_OF[single]) if single in BATCH_OF else [])]
    assert len(run) >= 3
    assert_agreed(run, single)


@BOUNDED
@given(st.lists(USAGE, min_size=1, max_size=4))
def test_any_usage_decodes_alike(records: list[dict[str, Any]]) -> None:
    assert_agreed([encode("Usage", record) for record in records], "Usage")


@BOUNDED
@given(st.lists(ROLLUP, min_size=1, max_size=4))
def test_any_rollup_decodes_alike(records: list[dict[str, Any]]) -> None:
    assert_agreed([encode("CostRollup", record) for record in records], "CostRollup")


@BOUNDED
@given(st.lists(CORRECTION, min_size=1, max_size=4))
def test_any_correction_decodes_alike(records: list[dict[str, Any]]) -> None:
    assert_agreed([encode("Correction", record) for record in records], "Correction")


@BOUNDED
@given(st.lists(GPU_CORRECTION, min_size=1, max_size=4))
def test_any_correction_of_gpu_readings_decodes_alike(records: list[dict[str, Any]]) -> None:
    assert_agreed([encode("GpuCorrection", record) for record in records], "GpuCorrection")


@BOUNDED
@given(st.data())
def test_singles_batches_and_strangers_of_one_run_keep_their_places(data: st.DataObject) -> None:
    some = st.sampled_from([*examples("Usage"), *examples("UsageBatch"), *STRANGERS])
    run = data.draw(st.lists(some | USAGE.map(lambda record: encode("Usage", record)), max_size=8))
    assert_agreed(run, "Usage")


@BOUNDED
@given(st.data())
def test_attributes_on_the_list_are_kept_and_no_others(data: st.DataObject) -> None:
    maps = st.dictionaries(st.sampled_from(["kept", "secret", "also", ""]) | st.text(max_size=3), st.text(max_size=300))
    events = [{**MINIMAL, "attributes": data.draw(maps)} for _ in range(data.draw(st.integers(1, 5)))]
    cut = data.draw(st.integers(0, len(events)))
    run: Values = [encode("Usage", event) for event in events[:cut]]
    if events[cut:]:
        run.append(encode("UsageBatch", {"events": events[cut:]}))
    names = frozenset(data.draw(st.sets(st.sampled_from(["kept", "also", "nobody"]))))
    columns = decoded(run, "Usage", names)
    expected = [{k: v[:LONGEST_VALUE] for k, v in event["attributes"].items() if k in names} for event in events]
    if not any(expected):
        assert NAME not in columns.events.columns
    else:
        lists = columns.events[NAME]
        assert [dict(pairs) for pairs in map_array(lists).to_pylist()] == expected
        assert attribute(lists, "kept").to_list() == [kept.get("kept") for kept in expected]


def test_one_bad_record_among_many_costs_only_itself() -> None:
    run: Values = [encode("Usage", {**MINIMAL, "event_id": f"e-{i}"}) for i in range(300)]
    run[150] = b"\0\0\0\0\x01\x0edefault\x10req"
    columns = decoded(run, "Usage")
    assert refused(columns) == {150: "undecodable"}
    assert columns.events["event_id"].to_list() == [f"e-{i}" for i in range(300) if i != 150]


def test_a_batch_of_a_thousand_passes_and_one_more_is_refused() -> None:
    run: Values = [encode("UsageBatch", {"events": [MINIMAL] * size}) for size in (1_000, 1_001)]
    columns = decoded(run, "Usage")
    assert columns.events.height == 1_000
    assert refused(columns) == {1: "batch_too_large"}


def test_rows_packed_into_batches_are_the_rows_in_order_and_no_batch_is_too_large() -> None:
    rows = decoded(examples("Correction") * 900, "Correction").events
    wordy = rows.with_columns(pl.lit("x" * 1_000).alias("feature"))
    for packed, limit in ((rows, 1_000), (wordy, BATCH_BYTES // 1_000)):
        plain = packed.with_columns(pl.col("occurred_at", "known_at").cast(pl.Int64))
        values: Values = [*encode_batches("CorrectionBatch", "Correction", plain)]
        assert decoded(values, "Correction").events.equals(packed)
        sizes = [len(decode(value)[1]["events"]) for value in values]
        assert sum(sizes) == packed.height > max(sizes) > 0.5 * limit and max(sizes) <= limit
    assert encode_batches("CorrectionBatch", "Correction", rows.clear()) == []


MINIMAL = {"event_id": "e", "occurred_at": 0, "service": "s", "provider": "p", "model": "m"}


@pytest.mark.parametrize("value", [*examples("Usage"), *examples("UsageBatch")[1:]])
def test_bytes_behind_a_record_are_ignored_by_both(value: bytes) -> None:
    longer: Values = [value + b"\xff\x00behind"]
    assert found(decoded(longer, "Usage")) == found(decoded([value], "Usage")) != {}
    assert decode(longer[0]) == decode(value)


@pytest.mark.parametrize("occurred_at", [LAST_US + 1, 2**63 - 1, -(2**63)])
def test_a_date_beyond_the_calendar_is_a_number_to_the_columns_and_an_error_to_fastavro(occurred_at: int) -> None:
    """Known and harmless: attribution then refuses it by its clock rule, with the reason an operator can act on."""
    value = encode("Usage", {**MINIMAL, "occurred_at": occurred_at})
    assert found(decoded([value], "Usage"))[0, -1]["occurred_at"] == occurred_at
    with pytest.raises(Undecodable):
        decode(value)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "insert", "delete", "cut", "append"]),
        st.floats(0, 1),
        st.sampled_from([b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xff" * 9 + b"\x01", b"\xfe\xff\xff\xff\x0f"])
        | st.binary(min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=4,
)


def edited(value: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """The value after somebody's disk, proxy or bug had its way with it."""
    for how, where, what in edits:
        at = int(where * len(value))
        head, tail = value[:at], value[at:]
        value = {
            "set": head + what + tail[len(what) :],
            "flip": head + bytes([tail[0] ^ what[0]]) + tail[1:] if tail else head,
            "insert": head + what + tail,
            "delete": head + tail[len(what) :],
            "cut": head,
            "append": value + what,
        }[how]
    return value


@pytest.mark.parametrize("single", ["Usage", "CostRollup"])
@settings(BOUNDED, max_examples=300)
@given(st.data())
def test_damaged_bytes_are_refused_or_mean_the_same_to_both(single: str, data: st.DataObject) -> None:
    """Refusing more than fastavro does is allowed; accepting more, other values or a crash is not."""
    sound = examples(single) + (examples("UsageBatch")[1:] if single == "Usage" else [])
    damaged = edited(data.draw(st.sampled_from(sound)), data.draw(EDITS))
    run: Values = [sound[0], damaged, sound[-1]]
    columns = decoded(run, single)
    accepted, (events, reasons) = found(columns), expected(run, single)
    assert accepted.items() <= events.items()
    assert {place[0] for place in events.keys() - accepted.keys()} <= {1}
    assert set(reasons) <= set(refused(columns)) <= {1}
    assert {place[0] for place in accepted} | set(refused(columns)) == {0, 1, 2}
