"""Payloads as sources really send them: each becomes the disjoint buckets worked out by hand, or is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from spendstream.domain.payloads import SOURCES, Adapted, Refused, adapt, buckets, recognise
from spendstream.schemas import record_schema

TABLES = sorted((Path(__file__).parents[2] / "data" / "payloads").glob("*.yaml"))
ROWS = [
    pytest.param(row, id=f"{path.stem}: {row['name']}") for path in TABLES for row in yaml.safe_load(path.read_text())
]
READ = [row for row in ROWS if "source" in row.values[0] and "refused" not in row.values[0]]
REFUSED = [row for row in ROWS if "refused" in row.values[0]]
USAGE_FIELDS = {field["name"] for field in record_schema("Usage")["fields"]}


@pytest.mark.parametrize("row", READ)
def test_a_payload_becomes_the_buckets_worked_out_by_hand(row: dict[str, Any]) -> None:
    adapted = adapt(row["payload"], said=row.get("said"))
    assert isinstance(adapted, Adapted), adapted
    assert adapted.source == row["source"]
    found, reason = buckets(adapted.fields)
    assert reason == ""
    assert {name: count for name, count in found.items() if count} == row["buckets"]
    assert {name: adapted.fields.get(name) for name in row.get("fields", {})} == row.get("fields", {})


@pytest.mark.parametrize("row", READ)
def test_a_total_that_does_not_add_up_is_said_and_no_other(row: dict[str, Any]) -> None:
    adapted = adapt(row["payload"], said=row.get("said"))
    assert isinstance(adapted, Adapted)
    assert adapted.mismatch == row.get("mismatch", "")
    kept = adapted.fields.get("attributes", {})
    assert kept.get("token_mismatch_reason", "") == adapted.mismatch
    reported, classes = (int(text) for text in re.findall(r"\b\d+\b", adapted.mismatch)) if adapted.mismatch else (0, 0)
    assert int(kept.get("token_mismatch", 0)) == reported - classes


@pytest.mark.parametrize("row", REFUSED)
def test_what_cannot_be_usage_is_refused_with_a_reason(row: dict[str, Any]) -> None:
    refused = adapt(row["payload"], said=row.get("said"))
    assert isinstance(refused, Refused), refused
    assert refused.reason == row["refused"]
    assert refused.detail
    if "missing" in row:
        assert list(refused.missing) == row["missing"]


@pytest.mark.parametrize("row", READ)
def test_a_named_source_reads_what_its_shape_would_be_recognised_as(row: dict[str, Any]) -> None:
    assert adapt(row["payload"], row["source"], row.get("said")) == adapt(row["payload"], said=row.get("said"))


@pytest.mark.parametrize("name", SOURCES)
def test_every_table_maps_to_fields_of_usage_only_and_is_in_the_tests(name: str) -> None:
    source = SOURCES[name]
    assert {*source.fields, *source.fixed, *source.required} <= USAGE_FIELDS
    assert any(row.values[0].get("source") == name for row in ROWS)


def test_what_the_caller_says_wins_and_what_he_does_not_know_changes_nothing() -> None:
    payload = {"object": "chat.completion", "model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    told = adapt(payload, said={"provider": "groq", "model": None})
    assert isinstance(told, Adapted)
    assert (told.fields["provider"], told.fields["model"]) == ("groq", "m")


def test_a_payload_of_nothing_known_says_what_it_has() -> None:
    refused = adapt({"tokens_in": 3, "tokens_out": 4})
    assert isinstance(refused, Refused)
    assert "tokens_in, tokens_out" in refused.detail
    assert recognise({"tokens_in": 3}) is None
    assert isinstance(adapt([]), Refused)
