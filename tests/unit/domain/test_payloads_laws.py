"""Whatever a payload is: it is read or refused, never an exception; and what is read can be put on the topic."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.wire import UsageEncoder, defaults
from spendstream.domain.payloads import Adapted, Refused, adapt, buckets
from spendstream.domain.payloads.paths import expression, look_up
from spendstream.domain.tokens import REPORTED

TABLES = sorted((Path(__file__).parents[2] / "data" / "payloads").glob("*.yaml"))
PAYLOADS = [row["payload"] for path in TABLES for row in yaml.safe_load(path.read_text())]
NUMBERS = st.sampled_from(
    [0, 1, -1, 10**12 + 1, 2**63, -(2**70), Decimal("1e400"), Decimal("0.1"), Decimal("NaN"), 1e308]
)
WEIRD = st.one_of(
    NUMBERS, st.sampled_from(["", "abc", "1e9", "9" * 30, "2026-03-31", None, True, [], [1], {}, {"a": 1}])
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything inside a payload."""
    inside: list[tuple[Any, ...]] = [path] if path else []
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        inside += places(item, (*path, key))
    return inside


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a payload with another value at one path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


@settings(deadline=None)
@given(st.data())
def test_a_payload_with_anything_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    payload = data.draw(st.sampled_from(PAYLOADS))
    for _ in range(data.draw(st.integers(1, 3))):
        if found := places(payload):
            payload = changed(payload, data.draw(st.sampled_from(found)), data.draw(WEIRD))
    adapted = adapt(payload, said={"model": "m", "provider": "p"})
    if isinstance(adapted, Refused):
        assert adapted.reason and adapted.detail
        return
    _, reason = buckets(adapted.fields)
    assert reason == ""
    record = {**defaults(), "event_id": "e", "occurred_at": 0, "service": "s", **adapted.fields}
    assert UsageEncoder().single({"attributes": {}, **record})


counts = st.integers(0, 10**6)


@settings(deadline=None)
@given(counts, counts, counts, counts, counts)
def test_what_openai_includes_and_anthropic_does_not_are_the_same_buckets(
    fresh: int, read: int, written: int, text: int, thought: int
) -> None:
    one = adapt({"object": "response", "model": "m", "usage": {
        "input_tokens": fresh + read + written, "output_tokens": text + thought,
        "input_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": fresh + read + written + text + thought,
    }})  # fmt: skip
    other = adapt({"type": "message", "model": "m", "usage": {
        "input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
        "output_tokens": text + thought, "output_tokens_details": {"thinking_tokens": thought},
    }})  # fmt: skip
    assert isinstance(one, Adapted) and isinstance(other, Adapted)
    assert buckets(one.fields) == buckets(other.fields)
    assert sum(buckets(one.fields)[0].values()) == fresh + read + written + text + thought
    assert not one.mismatch and not other.mismatch


@given(st.sampled_from(REPORTED), st.integers(max_value=-1))
def test_a_negative_count_is_refused_wherever_it_stands(name: str, count: int) -> None:
    payload = {"model": "m", "usage": {"prompt_tokens": 5, "completion_tokens": 5}}
    refused = adapt(payload, said={name: count})
    assert isinstance(refused, Refused)
    assert refused.reason == "negative_tokens"


@pytest.mark.parametrize(
    ("text", "payload", "count"),
    [
        ("a.b", {"a": {"b": 3}}, 3),
        ("a.b", {"a.b": 3}, 3),
        ("a.b.c", {"a.b": {"c": 3}}, 3),
        ("a.b.c", {"a": {"b.c": "3"}}, 3),
        ("a + b - c", {"a": 3, "b": 4}, 7),
        ("a + b - c", {"b": 4}, None),
        ("a | b - c", {"b": 4, "c": 1}, 3),
        ("a", {"a": None}, None),
        ("a", {"a": ""}, None),
        ("a[k=x].n", {"a": [{"k": "x", "n": 1}, {"k": "y", "n": 5}, {"k": "x", "n": 2}]}, 3),
        ("a[k=x].n", {"a": []}, 0),
        ("a[k=x].n", {"a": "text"}, None),
    ],
)
def test_how_tables_say_where_a_count_is(text: str, payload: Mapping[str, Any], count: int | None) -> None:
    assert expression(text).count(payload) == count


def test_a_key_with_dots_that_leads_nowhere_hides_nothing() -> None:
    assert look_up({"a.b": 1, "a": {"b": {"c": 2}}}, ("a", "b", "c")) == 2


@pytest.mark.parametrize("secret", ["sk-proj-abcdef", "Bearer abc"])
def test_a_key_that_a_tool_wrote_down_never_goes_on(secret: str) -> None:
    row = {"num_model_requests": 1, "input_tokens": 1, "model": "m", "start_time": 1, "api_key_id": secret}
    adapted = adapt(row)
    assert isinstance(adapted, Adapted)
    assert secret not in str(adapted)
    assert len(adapted.fields["api_key_id"]) == 64


def test_a_structure_in_the_place_of_a_name_goes_nowhere() -> None:
    payload = {"object": "response", "model": "m", "user": {"prompt": "my secret"},
               "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}  # fmt: skip
    adapted = adapt(payload)
    assert isinstance(adapted, Adapted)
    assert "secret" not in str(adapted)
