"""Whatever a provider's classes contain, the buckets are disjoint, or the row is rejected with a reason."""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendstream.domain.tokens import BUCKETS, INPUT_BUCKETS, REJECT_REASONS, REPORTED, Normalised, normalise

ODD = st.sampled_from([-1, 10**12, 10**12 + 1, 2**63 - 1, -(2**63)])
ROW = st.fixed_dictionaries(
    {
        **{name: st.one_of(st.integers(0, 30), st.integers(0, 10**12), ODD) for name in REPORTED},
        "requests": st.one_of(st.just(1), st.integers(0, 10**9), ODD),
        "convention": st.sampled_from(["inclusive", "disjoint", "sideways"]),
    }
)
PLAIN_ROW = st.fixed_dictionaries(
    {name: st.integers(0, 40) for name in REPORTED}
    | {"requests": st.just(1), "convention": st.sampled_from(["inclusive", "disjoint"])}
)
SCHEMA = {**dict.fromkeys((*REPORTED, "requests"), pl.Int64), "convention": pl.String}


def frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    defaults: dict[str, object] = {**dict.fromkeys(REPORTED, 0), "requests": 1, "convention": "inclusive"}
    return pl.DataFrame([defaults | row for row in rows], schema=SCHEMA)


def one(**row: object) -> dict[str, int]:
    normalised = normalise(frame([row]))
    assert not normalised.rejected[0], REJECT_REASONS[normalised.reason[0]]
    return {name: int(values[0]) for name, values in normalised.buckets.items() if values[0]}


def why(**row: object) -> str:
    return REJECT_REASONS[normalise(frame([row])).reason[0]]


def reference(row: Mapping[str, object]) -> dict[str, int] | str:
    """The rules, one row at a time: buckets, or the reason why not."""
    n = {name: int(str(row[name])) for name in (*REPORTED, "requests")}
    if min(n[name] for name in REPORTED) < 0:
        return "negative_tokens"
    if n["requests"] < 0:
        return "negative_requests"
    if max(n[name] for name in REPORTED) > 10**12 or n["requests"] > 10**9:
        return "token_limit"
    if row["convention"] not in ("inclusive", "disjoint"):
        return "unknown_convention"
    uncached, text = n["input_tokens"], n["output_tokens"]
    audio, image = n["audio_input_tokens"], n["image_input_tokens"]
    if row["convention"] == "inclusive":
        uncached -= n["cache_read_tokens"] + n["cache_write_5m_tokens"] + n["cache_write_1h_tokens"]
        if uncached < 0 or audio + image > n["input_tokens"]:
            return "negative_bucket"
        audio = min(audio, max(0, uncached - image) if image < uncached else 0)
        image = min(image, uncached - audio)
        uncached -= audio + image
        text -= n["reasoning_tokens"] + n["audio_output_tokens"]
        if text < 0:
            return "negative_bucket"
    values = (
        *(uncached, n["cache_read_tokens"], n["cache_write_5m_tokens"], n["cache_write_1h_tokens"]),
        *(text, n["reasoning_tokens"], audio, n["audio_output_tokens"], image),
    )
    return dict(zip(BUCKETS, values, strict=True))


def outcome(normalised: Normalised, i: int) -> dict[str, int] | str:
    if normalised.rejected[i]:
        return REJECT_REASONS[normalised.reason[i]]
    return {name: int(normalised.buckets[name][i]) for name in BUCKETS}


@given(st.lists(st.one_of(ROW, PLAIN_ROW), max_size=12))
def test_every_row_comes_out_as_the_rules_say(rows: list[dict[str, object]]) -> None:
    normalised = normalise(frame(rows))
    assert [outcome(normalised, i) for i in range(len(rows))] == [reference(row) for row in rows]


@given(st.lists(PLAIN_ROW, min_size=1, max_size=12))
def test_inclusive_buckets_add_up_to_the_reported_totals(rows: list[dict[str, object]]) -> None:
    rows = [{**row, "convention": "inclusive"} for row in rows]
    normalised = normalise(frame(rows))
    for i, row in enumerate(rows):
        if not normalised.rejected[i]:
            assert normalised.input_total[i] == row["input_tokens"]
            outputs = set(BUCKETS) - set(INPUT_BUCKETS)
            assert sum(int(normalised.buckets[name][i]) for name in outputs) == row["output_tokens"]


@given(st.lists(st.one_of(ROW, PLAIN_ROW), max_size=12))
def test_a_rejected_row_has_nothing_in_it(rows: list[dict[str, object]]) -> None:
    normalised = normalise(frame(rows))
    for values in (*normalised.buckets.values(), normalised.requests):
        assert not values[normalised.rejected].any()
        assert (values >= 0).all()
    assert np.array_equal(normalised.rejected, normalised.reason != 0)


def test_openai_reports_cached_tokens_inside_its_input() -> None:
    assert one(input_tokens=100, cache_read_tokens=60, output_tokens=10, reasoning_tokens=4) == {
        "input_uncached": 40,
        "input_cache_read": 60,
        "output_text": 6,
        "output_reasoning": 4,
    }


def test_anthropic_reports_cached_tokens_beside_its_input() -> None:
    assert one(convention="disjoint", input_tokens=100, cache_read_tokens=60, cache_write_1h_tokens=5) == {
        "input_uncached": 100,
        "input_cache_read": 60,
        "input_cache_write_1h": 5,
    }


def test_cached_audio_counts_once_as_cached_and_the_row_says_by_how_much() -> None:
    row = {"input_tokens": 100, "cache_read_tokens": 60, "audio_input_tokens": 70, "image_input_tokens": 20}
    assert one(**row) == {"input_cache_read": 60, "input_audio": 20, "input_image": 20}
    assert normalise(frame([row])).token_mismatch[0] == 100 - (60 + 70 + 20)
    assert normalise(frame([{**row, "audio_input_tokens": 20}])).token_mismatch[0] == 0


def test_image_gives_way_to_cache_once_audio_is_used_up() -> None:
    row = {"input_tokens": 100, "cache_read_tokens": 90, "audio_input_tokens": 5, "image_input_tokens": 20}
    assert one(**row) == {"input_cache_read": 90, "input_image": 10}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"input_tokens": 10, "cache_read_tokens": 11}, "negative_bucket"),
        ({"output_tokens": 10, "reasoning_tokens": 6, "audio_output_tokens": 5}, "negative_bucket"),
        ({"input_tokens": 100, "audio_input_tokens": 500}, "negative_bucket"),
        (
            {"input_tokens": 100, "cache_read_tokens": 60, "audio_input_tokens": 70, "image_input_tokens": 31},
            "negative_bucket",
        ),
        ({"output_tokens": -1}, "negative_tokens"),
        ({"requests": -1}, "negative_requests"),
        ({"input_tokens": 10**12 + 1}, "token_limit"),
        ({"requests": 10**9 + 1}, "token_limit"),
        ({"convention": "sideways"}, "unknown_convention"),
        ({"convention": None}, "unknown_convention"),
    ],
)
def test_what_cannot_be_is_rejected_with_a_reason(row: dict[str, object], reason: str) -> None:
    assert why(**row) == reason


def test_the_largest_counts_allowed_do_not_overflow() -> None:
    most = dict.fromkeys(REPORTED, 10**12)
    normalised = normalise(frame([{**most, "convention": "disjoint", "requests": 10**9}]))
    assert not normalised.rejected[0]
    assert normalised.input_total[0] == 6 * 10**12


def test_a_batch_of_nothing_is_a_batch() -> None:
    assert len(normalise(frame([])).rejected) == 0
