"""Exports of other tools: every entry with its line, nothing invented, and a bad one does not spoil the others."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.traces import READERS
from spendstream.cli.imports import FORMAT_NAMES
from spendstream.operations.exports import FORMATS, Taken, UnreadableExport, read_export
from spendstream.operations.exports.files import Entry, entries
from spendstream.operations.import_source import Bad

EXPORTS = Path(__file__).parents[2] / "data" / "exports"


def read(name: str, file_format: str, digest: str = "d") -> list[Taken | Bad]:
    return list(read_export(EXPORTS / name, digest, file_format))


def good(name: str, file_format: str) -> list[dict[str, Any]]:
    return [{"line": each.line, **each.fields} for each in read(name, file_format) if isinstance(each, Taken)]


def bad(name: str, file_format: str) -> list[tuple[int, str]]:
    return [(each.line, each.column) for each in read(name, file_format) if isinstance(each, Bad)]


def some(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row.get(name) for name in names) for row in rows]


def test_an_openai_usage_report_of_several_pages() -> None:
    rows = good("openai-usage.json", "openai-usage")
    assert some(rows, "line", "model", "requests", "input_tokens", "cache_read_tokens", "service_tier", "project") == [
        (10, "gpt-5.5", 500, 1_000_000, 400_000, None, "proj_search"),
        (25, "gpt-5.4", 1_500, 3_000_000, 0, "batch", "proj_search"),
    ]
    assert {row["occurred_at"] for row in rows} == {1_774_915_200_000_000}
    assert bad("openai-usage.json", "openai-usage") == [(53, "model")]
    [refused] = [each for each in read("openai-usage.json", "openai-usage") if isinstance(each, Bad)]
    assert "group the report by model" in refused.problem


def test_an_openai_dashboard_csv_has_days_without_usage() -> None:
    rows = good("openai-usage.csv", "openai-usage")
    assert some(rows, "line", "requests", "input_tokens", "cache_read_tokens", "output_tokens", "service_tier") == [
        (2, 100, 20_000, 5_000, 5_000, "flex"),
        (4, 10, 4_000, 0, 100, "batch"),
    ]
    assert bad("openai-usage.csv", "openai-usage") == []


def test_an_openai_batch_output_names_the_line_that_is_broken_and_leaves_out_calls_that_failed() -> None:
    rows = good("openai-batch.jsonl", "openai-usage")
    assert some(rows, "line", "event_id", "service_tier", "reasoning_tokens") == [
        (1, "chatcmpl-b1", "batch", None),
        (4, "resp_b4", "batch", 60),
    ]
    assert bad("openai-batch.jsonl", "openai-usage") == [(3, "row")]


def test_an_anthropic_usage_report_stands_for_as_many_requests_as_its_window_needs() -> None:
    [row] = good("anthropic-usage.json", "anthropic-usage")
    assert (row["line"], row["requests"], row["convention"]) == (7, 25, "disjoint")  # 5 000 000 / 200 000
    assert row["cache_write_1h_tokens"] == 60_000
    assert bad("anthropic-usage.json", "anthropic-usage") == [(19, "output_tokens")]


def test_a_claude_console_csv() -> None:
    rows = good("anthropic-console.csv", "anthropic-usage")
    assert some(rows, "line", "model", "input_tokens", "service_tier", "project", "region") == [
        (2, "claude-opus-4-8", 46_981, "standard", "Default", "global"),
        (3, "claude-haiku-4-5", 100_000, "batch", "Default", "global"),
    ]
    assert bad("anthropic-console.csv", "anthropic-usage") == [(4, "usage_input_tokens_no_cache")]


def test_litellm_logs_say_teams_keys_and_what_a_gateway_cache_answered() -> None:
    rows = good("litellm.jsonl", "litellm")
    assert some(rows, "line", "team", "service", "model", "cache_hit", "reported_cost_pico_usd") == [
        (1, "search", "search-api", "claude-opus-4-8", None, 200_200_000_000),
        (2, "chat", "chat-api", "gpt-5.5", True, 0),
    ]
    assert bad("litellm.jsonl", "litellm") == [(3, "input_tokens")]
    [spent] = good("litellm-spend.csv", "litellm")
    assert (spent["cache_read_tokens"], spent["team"], spent["cache_hit"]) == (600, "chat", False)


def test_langfuse_observations_that_are_no_calls_are_left_out() -> None:
    [row] = good("langfuse.json", "langfuse")
    assert (row["line"], row["event_id"], row["reported_cost_pico_usd"]) == (4, "obs-2", 10_390_000_000)
    assert bad("langfuse.json", "langfuse") == [(19, "startTime")]
    [exported] = good("langfuse.csv", "langfuse")
    assert (exported["provider"], exported["cache_read_tokens"], exported["service"]) == (
        "anthropic",
        18_000,
        "support",
    )


def test_helicone_requests_that_failed_without_tokens_are_left_out() -> None:
    row, unequal = good("helicone.jsonl", "helicone")
    assert (row["line"], row["team"], row["service"], row["cache_write_5m_tokens"]) == (1, "search", "ranker", 248)
    assert unequal["attributes"] == {
        "token_mismatch": "50",
        "token_mismatch_reason": "total_tokens is 250, its classes add up to 200",
    }
    assert bad("helicone.jsonl", "helicone") == []


def test_the_same_day_of_a_report_is_the_same_event_in_any_file(tmp_path: Path) -> None:
    rows = good("openai-usage.json", "openai-usage")
    assert len({row["event_id"] for row in rows}) == 2
    page = json.loads((EXPORTS / "openai-usage.json").read_text())[0]
    again = tmp_path / "longer.json"
    again.write_text(json.dumps(page))
    assert [
        each.fields["event_id"] for each in read_export(again, "other", "openai-usage") if isinstance(each, Taken)
    ] == [row["event_id"] for row in rows]


def test_an_answer_without_an_id_gets_one_from_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    answer = {
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    path.write_text(f"{json.dumps(answer)}\n\n{json.dumps(answer)}\n")
    ids = [each.fields["event_id"] for each in read_export(path, "d", "openai-usage") if isinstance(each, Taken)]
    assert len(set(ids)) == 2
    assert ids == [
        each.fields["event_id"] for each in read_export(path, "d", "openai-usage") if isinstance(each, Taken)
    ]
    assert ids != [
        each.fields["event_id"] for each in read_export(path, "e", "openai-usage") if isinstance(each, Taken)
    ]


def test_an_answer_that_says_no_time_is_named(tmp_path: Path) -> None:
    path = tmp_path / "message.json"
    path.write_text('{"type": "message", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}')
    [refused] = read_export(path, "d", "anthropic-usage")
    assert isinstance(refused, Bad)
    assert (refused.line, refused.column) == (1, "occurred_at")


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n1,2\n", 2),
        ('[\n{"tokens": 1}\n]', 2),
        ('{"usage":\n', 2),
        ("just words\n", 1),
        ("[1, 2", 1),
        ('{"a": 1} x', 1),
    ],
)
def test_another_file_altogether_is_refused_with_its_line(
    tmp_path: Path, file_format: str, text: str, line: int
) -> None:
    path = tmp_path / "other"
    path.write_text(text)
    with pytest.raises(UnreadableExport, match=rf"{path}: line {line}: "):
        list(read_export(path, "d", file_format))


def test_an_export_of_another_tool_says_whose_it_is() -> None:
    with pytest.raises(UnreadableExport, match="has the shape of helicone, not of a langfuse export"):
        read("helicone.jsonl", "langfuse")


def test_the_command_names_every_format_it_takes() -> None:
    assert (*READERS, *FORMATS) == FORMAT_NAMES


def test_an_empty_file_has_no_entries(tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    path.write_text("\n \n")
    assert list(entries(path)) == []


members = st.dictionaries(
    st.sampled_from("abc"), st.none() | st.integers() | st.text('a"{}[]\\\n', max_size=3), max_size=3
)


@settings(deadline=None)
@given(st.lists(members, min_size=1, max_size=5), st.sampled_from([None, 0, 2]), st.booleans())
def test_entries_of_a_document_are_those_that_are_in_it_at_their_lines(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, Any]], indent: int | None, paged: bool
) -> None:
    path = tmp_path_factory.mktemp("entries") / "document.json"
    text = json.dumps(
        {"z": "\n", "data": values, "has_more": True} if paged else values, indent=indent, ensure_ascii=False
    )
    path.write_text(text)
    found = [each for each in entries(path) if isinstance(each, Entry)]
    assert [dict(each.value) for each in found] == values
    assert [text.splitlines()[each.line - 1].lstrip()[0] in "{[" for each in found] == [True] * len(values)


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    path = tmp_path / "exact.json"
    path.write_text('{"cost": 0.1000000000000000055}')
    [entry] = entries(path)
    assert isinstance(entry, Entry)
    assert entry.value["cost"] == Decimal("0.1000000000000000055")
