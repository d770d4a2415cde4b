"""Readers lose no good row to a bad one and say where a bad one is bad."""

from pathlib import Path

import pytest

from loadgen.traces import BadRow, Row, UnreadableTrace, open_trace, read_azure, read_usage_csv

EXAMPLE = Path(__file__).parents[3] / "examples" / "traces" / "AzureLLMInferenceTrace_code.csv"


def written(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text)
    return open_trace(path)


def test_the_shipped_azure_trace_reads_whole():
    rows = list(read_azure(open_trace(EXAMPLE)))
    assert len(rows) == 8_819
    assert all(isinstance(row, Row) for row in rows)
    first = rows[0].record
    assert (first["occurred_at"], first["input_tokens"], first["output_tokens"]) == (1_700_158_623_979_960, 4_808, 10)


def test_ids_depend_on_content_and_line_only(tmp_path):
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,1,2\n2023-11-16 18:17:03.9799600,1,2\n"
    here, there = written(tmp_path, text), written(tmp_path, text, "copy.csv")
    ids = [row.record["event_id"] for row in read_azure(here)]
    assert ids == [row.record["event_id"] for row in read_azure(there)]
    assert len(set(ids)) == 2


def test_a_bad_azure_row_is_named_and_the_others_survive(tmp_path):
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,2\nyesterday,1,2\n2023-11-16 18:17:04,-4,2\n"
    good, no_time, negative = read_azure(written(tmp_path, text))
    assert isinstance(good, Row)
    assert (no_time.line, no_time.column) == (3, "TIMESTAMP")
    assert (negative.line, negative.column) == (4, "ContextTokens")


HEADER = "event_id,occurred_at,service,provider,model,convention,input_tokens,cache_hit,team,attributes\n"


def test_a_usage_row_becomes_a_complete_record(tmp_path):
    line = 'e-1,2026-03-02T10:00:00.5+01:00,ranker,openai,gpt-5.5,disjoint,12,true,,"{""k"": ""v""}"\n'
    [row] = read_usage_csv(written(tmp_path, HEADER + line))
    assert row.record["occurred_at"] == 1_772_442_000_500_000
    assert row.record["team"] is None
    assert row.record["requests"] == 1
    assert (row.record["input_tokens"], row.record["cache_hit"], row.record["attributes"]) == (12, True, {"k": "v"})


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("e,noon,s,p,m,inclusive,1,true,,\n", "occurred_at"),
        ("e,2026-01-01T00:00:00Z,s,p,m,both,1,true,,\n", "convention"),
        ("e,2026-01-01T00:00:00Z,s,p,m,inclusive,-1,true,,\n", "input_tokens"),
        ("e,2026-01-01T00:00:00Z,s,p,m,inclusive,1.5,true,,\n", "input_tokens"),
        ("e,2026-01-01T00:00:00Z,s,p,m,inclusive,1,maybe,,\n", "cache_hit"),
        ("e,2026-01-01T00:00:00Z,s,p,,inclusive,1,true,,\n", "model"),
        ("e,2026-01-01T00:00:00Z,s,p,m,inclusive,1,true,,[1]\n", "attributes"),
        ("e,2026-01-01T00:00:00Z,s\n", "row"),
    ],
)
def test_a_bad_usage_row_names_line_and_column_and_the_next_row_survives(tmp_path, line, column):
    good = "e2,2026-01-01T00:00:00Z,s,p,m,inclusive,1,true,,\n"
    bad, fine = read_usage_csv(written(tmp_path, HEADER + line + good))
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.column) == (2, column)
    assert isinstance(fine, Row)


@pytest.mark.parametrize("header", ["event_id,service\n", HEADER.replace("team", "teem"), ""])
def test_a_wrong_header_refuses_the_file(tmp_path, header):
    with pytest.raises(UnreadableTrace, match="line 1"):
        list(read_usage_csv(written(tmp_path, header)))


def test_every_fault_of_a_row_is_said_in_words(tmp_path):
    [bad] = read_usage_csv(written(tmp_path, HEADER + "e,noon,,p,m,inclusive,ten,true,,{\n"))
    assert bad.column == "occurred_at"
    assert "'noon' is no time: expected one like 2026-" in bad.problem
    for said in ("service: is empty", "input_tokens: 'ten' is no count", "attributes: '{' is no JSON object"):
        assert said in bad.problem
    assert not any(inner in bad.problem for inner in ("isoformat", "invalid literal", "Expecting"))
