"""Readers lose no good row to a bad one and say where a bad one is bad."""

import csv
import gzip
import shutil
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from loadgen.traces import (
    BadRow,
    Row,
    UnreadableTrace,
    open_trace,
    read_azure,
    read_burstgpt,
    read_mooncake,
    read_servegen,
    read_usage_csv,
)

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


def test_bytes_that_are_no_text_make_a_bad_row_and_in_the_header_refuse_the_file(tmp_path):
    good, path = "e,2026-01-01T00:00:00Z,s,p,m,inclusive,1,true,,\n", tmp_path / "t.csv"
    path.write_bytes((HEADER + good).encode() + good.replace("s,p", "caf\xe9,p").encode("latin-1") + good.encode())
    _, bad, fine = read_usage_csv(open_trace(path))
    assert bad == BadRow(3, "service", "is not UTF-8 text") and isinstance(fine, Row)
    path.write_bytes(HEADER.encode("utf-16"))
    with pytest.raises(UnreadableTrace, match="line 1: is not UTF-8"):
        list(read_usage_csv(open_trace(path)))


def test_a_cell_of_a_megabyte_does_not_end_the_file(tmp_path):
    header, good = "occurred_at,service,provider,model\n", "2026-03-01T12:00:00Z,s,p,m\n"
    long, fine = read_usage_csv(written(tmp_path, f"{header}2026-03-01T12:00:00Z,s,p,{'m' * 10**6}\n{good}"))
    assert (len(long.record["model"]), fine.record["model"]) == (10**6, "m")


def test_a_quote_that_is_never_closed_says_where_it_was_opened(tmp_path):
    good = "2026-03-01T12:00:00Z,s,p,m\n"
    text = f'occurred_at,service,provider,model\n{good}2026-03-01T12:00:00Z,"s,p,m\n{good}{good}'
    _, bad = read_usage_csv(written(tmp_path, text))
    assert bad == BadRow(5, "row", "2 values for 4 columns: a quote opened in line 3 swallowed what follows")


@pytest.mark.parametrize("header", ["event_id,service\n", HEADER.replace("team", "teem"), ""])
def test_a_wrong_header_refuses_the_file(tmp_path, header):
    with pytest.raises(UnreadableTrace, match="line 1"):
        list(read_usage_csv(written(tmp_path, header)))


TRACES = Path(__file__).parents[2] / "data" / "traces"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
START_2024 = 1_704_067_200_000_000


def test_a_burstgpt_trace_names_its_models_and_what_failed(tmp_path):
    text = BURST + "5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,1087,0,1087,API log\n"
    one, failed = [row.record for row in read_burstgpt(written(tmp_path, text))]
    assert (one["occurred_at"], one["model"], one["provider"]) == (START_2024 + 5_000_000, "gpt-3.5-turbo", "azure")
    assert (one["input_tokens"], one["output_tokens"], one["status"]) == (472, 18, "ok")
    assert (failed["occurred_at"], failed["model"]) == (START_2024 + 45_500_000, "gpt-4")
    assert (failed["input_tokens"], failed["status"]) == (1_087, "error")


def test_a_newer_burstgpt_trace_has_sessions_and_elapsed_times(tmp_path):
    text = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    [row] = read_burstgpt(written(tmp_path, text + "0,s-1,1.25,GPT-4,1,2,3,API log\n"))
    assert (row.record["session_id"], row.record["latency_ms"]) == ("s-1", 1_250)


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("soon,GPT-4,1,2,3,API log\n", "Timestamp"),
        ("-1,GPT-4,1,2,3,API log\n", "Timestamp"),
        ("1,,1,2,3,API log\n", "Model"),
        ("1,GPT-4,many,2,3,API log\n", "Request tokens"),
        ("1,GPT-4,1\n", "Response tokens"),
    ],
)
def test_a_bad_burstgpt_row_is_named_and_the_next_one_survives(tmp_path, line, column):
    bad, fine = read_burstgpt(written(tmp_path, BURST + line + "1,GPT-4,1,2,3,API log\n"))
    assert (bad.line, bad.column) == (2, column)
    assert isinstance(fine, Row)


def test_blocks_of_a_mooncake_prompt_that_were_seen_before_come_from_the_cache(tmp_path):
    lines = [
        '{"timestamp": 0, "input_length": 1300, "output_length": 5, "hash_ids": [1, 2, 3]}',
        '{"timestamp": 1500, "input_length": 1500, "output_length": 6, "hash_ids": [1, 2, 4]}',
        '{"timestamp": 1600, "input_length": 1300, "output_length": 7, "hash_ids": [1, 2, 3]}',
        '{"timestamp": 1700, "input_length": 700, "output_length": 8, "hash_ids": [9, 2]}',
    ]
    rows = [row.record for row in read_mooncake(written(tmp_path, "\n".join(lines)))]
    assert [row["cache_read_tokens"] for row in rows] == [0, 1_024, 1_300, 0]
    assert [row["occurred_at"] - START_2024 for row in rows] == [0, 1_500_000, 1_600_000, 1_700_000]
    assert {row["prefix_hash"] for row in rows} == {"block-1", "block-9"}


def test_a_real_mooncake_trace():
    rows = [row.record for row in read_mooncake(open_trace(TRACES / "mooncake.jsonl"))]
    sums = [sum(row[f"{name}_tokens"] for row in rows) for name in ("input", "output", "cache_read")]
    assert (len(rows), sum(row["cache_read_tokens"] > 0 for row in rows), sums) == (118, 3, [46_756, 32_300, 7_872])


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("{", "row"),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1}', "hash_ids"),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": ["a"]}', "hash_ids"),
        ('{"timestamp": 1, "input_length": 1.5, "output_length": 1, "hash_ids": []}', "input_length"),
        ('{"timestamp": -1, "input_length": 1, "output_length": 1, "hash_ids": []}', "timestamp"),
    ],
)
def test_a_bad_mooncake_line_is_named_and_as_the_first_one_refuses_the_file(tmp_path, line, column):
    good = '{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [1]}'
    _, bad, fine = read_mooncake(written(tmp_path, f"{good}\n{line}\n{good}\n"))
    assert (bad.line, bad.column) == (2, column)
    assert isinstance(fine, Row)
    with pytest.raises(UnreadableTrace, match="line 1"):
        list(read_mooncake(written(tmp_path, line)))


def test_servegen_clients_send_rate_times_time_requests_of_their_mean_size():
    rows = [row.record for row in read_servegen(open_trace(TRACES / "client_rates.csv"))]
    requests = Counter()
    for row in rows:
        requests[row["model"]] += row["requests"]
    with (TRACES / "client_rates.csv").open() as file:
        due = Counter()
        for line in csv.DictReader(file):
            due[line["model"]] += Decimal(line["rate_rps"]) * 600
    assert requests == {model: int(count) for model, count in due.items()}
    image = next(row for row in rows if row["model"] == "mm-image" and row["occurred_at"] < START_2024 + 21_600_000_000)
    assert image["image_input_tokens"] == round(image["requests"] * Decimal("1207.85"))
    assert image["input_tokens"] == round(image["requests"] * Decimal("1519.50"))  # 311.65 of text and the image
    thinking = next(row for row in rows if row["model"] == "deepseek-r1")
    assert 0 < thinking["reasoning_tokens"] < thinking["output_tokens"]
    assert {row["user_id"] for row in rows} == {"client-0", "client-35"}


def test_servegen_rates_may_be_gzipped_and_need_their_quantiles(tmp_path):
    plain = [row.record for row in read_servegen(open_trace(TRACES / "client_rates.csv"))]
    path = tmp_path / "client_rates.csv.gz"
    path.write_bytes(gzip.compress((TRACES / "client_rates.csv").read_bytes()))
    with pytest.raises(UnreadableTrace, match="client_token_quantiles"):
        list(read_servegen(open_trace(path)))
    shutil.copy(TRACES / "client_token_quantiles.csv", tmp_path)
    zipped = [row.record for row in read_servegen(open_trace(path))]
    assert [{**row, "event_id": ""} for row in zipped] == [{**row, "event_id": ""} for row in plain]


def test_a_servegen_client_without_quantiles_or_with_a_wrong_rate_is_named(tmp_path):
    shutil.copy(TRACES / "client_token_quantiles.csv", tmp_path)
    lines = "category,model,client_id,t_s,rate_rps\nreason,deepseek-r1,99,0,1\nreason,deepseek-r1,35,0,fast\n"
    unsized, wrong = read_servegen(written(tmp_path, lines, "client_rates.csv"))
    assert (unsized.line, unsized.column) == (2, "client_id")
    assert (wrong.line, "fast" in wrong.problem) == (3, True)


def test_every_fault_of_a_row_is_said_in_words(tmp_path):
    [bad] = read_usage_csv(written(tmp_path, HEADER + "e,noon,,p,m,inclusive,ten,true,,{\n"))
    assert bad.column == "occurred_at"
    assert "'noon' is no time: expected one like 2026-" in bad.problem
    for said in ("service: is empty", "input_tokens: 'ten' is no count", "attributes: '{' is no JSON object"):
        assert said in bad.problem
    assert not any(inner in bad.problem for inner in ("isoformat", "invalid literal", "Expecting"))
