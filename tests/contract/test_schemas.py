"""Laws every declared record keeps: documented, units in the names, and types both decoders can read."""

import json
from typing import Any

import fastavro
import pytest

from spendstream.schemas.catalogue import directory
from tests.contract.wire import RECORDS, Field, fields, is_number, is_time, named_types, schema

ALL_FIELDS = [field for record in RECORDS for field in fields(record)]

TIME_ENDINGS = ("_at", "_start", "_end")
TIME_NAMES = {"minute", "valid_until"}
MONEY_WORDS = {"amount", "charge", "cost", "limit", "price", "realised", "saving", "spend", "spent", "stake", "usd"}
MONEY_ENDINGS = ("_pico_usd", "_pico")
UNIT_ENDINGS = (
    *MONEY_ENDINGS, "_tokens", "_requests", "_events", "_ms", "_ms_sum", "_bytes", "_watts", "_millijoules",
    "_celsius", "_offset", "_partition",
)  # fmt: skip
#: Numbers whose name is their unit: counts of what they are called, positions, and shares of one.
COUNTS = {"cache_hits", "duplicate", "events", "partial", "priced", "rejected", "requests", "time_slices", "unpriced"}
POSITIONS = {"epoch", "first", "item", "last", "offset", "oldest_row", "partition", "pid", "published_through",
             "rebuild_from", "revision", "source_row"}  # fmt: skip
SHARES = {"confidence", "dram_active", "engine_active", "fraction", "fraction_from", "level", "sm_active", "sm_share",
          "tensor_active", "utilization"}  # fmt: skip
#: Neither: a detector's own scale; a time kept as the number it is compared as (its doc says microseconds).
OTHERS = {"score", "watermark"}

#: Fields of `Usage` in the public contract; `?` marks what may be null.
USAGE = """
org event_id occurred_at team? project? environment? cost_center? service feature? user_id? api_key_id? provider model
operation region? service_tier? input_tokens output_tokens cache_read_tokens cache_write_5m_tokens
cache_write_1h_tokens reasoning_tokens audio_input_tokens audio_output_tokens image_input_tokens convention requests
latency_ms status cache_hit route? max_tokens? prompt_hash? prompt_simhash? prefix_hash? complexity?
reported_cost_pico_usd? criticality? session_id? trace_id? attributes
"""


def test_every_declaration_is_a_record_of_its_files_name_and_in_the_catalogue() -> None:
    files = {path.stem: json.loads(path.read_text()) for path in directory().glob("*.avsc")}
    assert sorted(files) == RECORDS
    for name, declared in files.items():
        assert (declared["type"], declared["namespace"], declared["name"]) == ("record", "spendstream", name)


@pytest.mark.parametrize("record", RECORDS)
def test_every_schema_parses(record: str) -> None:
    assert fastavro.parse_schema(schema(record))["name"] == f"spendstream.{record}"


@pytest.mark.parametrize("record", RECORDS)
def test_every_record_and_enum_has_a_doc_and_every_enum_its_symbols_once(record: str) -> None:
    for declared in named_types(schema(record)):
        assert declared.get("doc", "").strip(), f"{record}: {declared['name']} has no doc"
        if declared["type"] == "enum":
            assert len(set(declared["symbols"])) == len(declared["symbols"]) > 1


def test_every_field_has_a_doc_that_is_a_sentence() -> None:
    docs = {field.path: field.declared.get("doc", "").strip() for field in ALL_FIELDS}
    assert {path: doc for path, doc in docs.items() if not doc.endswith((".", "…"))} == {}


def test_a_name_means_the_same_type_wherever_it_is_declared() -> None:
    found: dict[str, Any] = {}
    for record in RECORDS:
        for declared in named_types(schema(record)):
            name = declared["name"].removeprefix("spendstream.")
            known = found.setdefault(name, declared)
            assert {**known, "namespace": ""} == {**declared, "namespace": ""}, f"{name} is declared twice"


def test_times_and_only_times_are_named_as_times() -> None:
    def named(field: Field) -> bool:
        return field.name.endswith(TIME_ENDINGS) or field.name in TIME_NAMES

    assert [f"{field.path} is {field.type}" for field in ALL_FIELDS if named(field) != is_time(field.type)] == []


def test_money_is_a_whole_number_of_pico_units() -> None:
    money = [field for field in ALL_FIELDS if field.name.endswith(MONEY_ENDINGS)]
    assert len(money) > 10
    assert [f"{field.path} is {field.type}" for field in money if field.type != "long"] == []


def test_no_number_is_money_by_its_words_without_saying_pico() -> None:
    numbers = [field for field in ALL_FIELDS if is_number(field.type) and not field.name.endswith(MONEY_ENDINGS)]
    assert [field.path for field in numbers if MONEY_WORDS & set(field.name.split("_"))] == []


def test_only_invoices_hold_another_currency_than_dollars() -> None:
    assert {f.path.split(".")[0] for f in ALL_FIELDS if f.name.endswith("_pico")} == {"BillingItem"}


def test_every_number_says_what_it_counts() -> None:
    numbers = [field for field in ALL_FIELDS if is_number(field.type)]
    known = COUNTS | POSITIONS | SHARES | OTHERS
    assert [field.path for field in numbers if field.name not in known and not field.name.endswith(UNIT_ENDINGS)] == []


def test_no_exception_to_the_law_of_units_outlives_its_field() -> None:
    numbers = {field.name for field in ALL_FIELDS if is_number(field.type)}
    assert (COUNTS | POSITIONS | SHARES | OTHERS) - numbers == set()


def test_what_may_be_missing_is_null_by_default() -> None:
    def shape(declared: dict[str, Any]) -> tuple[Any, int, bool]:
        return declared["type"][0], len(declared["type"]), declared.get("default", "none") is None

    optional = [field for field in ALL_FIELDS if isinstance(field.declared["type"], list)]
    assert [field.path for field in optional if shape(field.declared) != ("null", 2, True)] == []


@pytest.mark.parametrize("record", ["Usage", "UsageBatch", "CostRollup"])
def test_what_the_columnar_decoder_reads_has_only_types_it_can_read(record: str) -> None:
    readable = {"boolean", "long", "string"}
    for field in fields(record):
        kind = field.type
        if isinstance(kind, dict) and kind["type"] in ("map", "array"):
            kind = kind.get("values") or kind["items"]
        enum = isinstance(kind, dict) and kind["type"] in ("enum", "record")
        assert enum or is_time(kind) or kind in readable, f"{field.path}: the columnar decoder panics on {kind}"


def test_usage_has_the_fields_of_the_public_contract_and_no_others() -> None:
    declared = [f.name + ("?" if isinstance(f.declared["type"], list) else "") for f in fields("Usage")]
    assert declared == USAGE.split()


def test_prompts_and_answers_have_no_field_to_travel_in() -> None:
    forbidden = {"prompt", "completion", "answer", "messages", "input", "output", "content", "text"}
    assert not forbidden & {field.name for field in ALL_FIELDS}
