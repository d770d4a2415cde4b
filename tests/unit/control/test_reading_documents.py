"""YAML to documents: numbers stay exact, and whatever is wrong is said with file, line and field."""

import json
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spendstream.control.checks import CHECKS, check_spec
from spendstream.control.files import Problem, Source, read_file
from spendstream.control.publish import LARGEST_BYTES, validate
from spendstream.runtime.control import digest_of, parse_spec, spec_json

Read = Callable[[str], tuple[list[Source], list[Problem]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reads(text: str) -> tuple[list[Source], list[Problem]]:
        path = tmp_path / "documents.yaml"
        path.write_text(text)
        return read_file(path)

    return reads


def spec_of(read: Read, text: str) -> Any:
    (source,), problems = read(f"kind: Budget\nname: x\nspec:\n  {text}\n")
    assert problems == []
    return source.spec


def places(problems: list[Problem]) -> list[int]:
    assert all(str(problem).startswith(f"{problem.file}:{problem.line}:") for problem in problems)
    return [problem.line for problem in problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", Decimal("0.1")),
        ("0.30", Decimal("0.30")),
        ("2.5e-7", Decimal("2.5e-7")),
        ("1_000.25", Decimal("1000.25")),
        ("-0.000000000001", Decimal("-1e-12")),
        ("12345678901234567890.123456789012", Decimal("12345678901234567890.123456789012")),
        ("7", 7),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_numbers_are_exact(read: Read, text: str, value: object) -> None:
    found = spec_of(read, f"amount_usd: {text}")["amount_usd"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("text", ["1:30", "+010", "0123", "00"])
def test_what_yaml_would_read_in_base_60_or_8_stays_text(read: Read, text: str) -> None:
    assert spec_of(read, f"account: {text}")["account"] == text


@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan"])
def test_what_is_no_amount_never_becomes_one(read: Read, text: str) -> None:
    assert not isinstance(spec_of(read, f"amount_usd: {text}")["amount_usd"], (float, Decimal))


def test_times_stay_text(read: Read) -> None:
    assert spec_of(read, "effective_from: 2026-01-01T00:00:00Z")["effective_from"] == "2026-01-01T00:00:00Z"


decimals = st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | decimals | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
specs = st.dictionaries(st.text(max_size=6), trees, max_size=4)


@given(specs)
def test_a_spec_survives_the_wire_exactly(spec: dict[str, Any]) -> None:
    back = parse_spec(spec_json(spec))
    assert back == spec and spec_json(back) == spec_json(spec)


@pytest.mark.parametrize("text", ["0.1234567890123456789012345678901234", "1234567890123456789012345678901.5"])
def test_a_number_longer_than_the_decimal_context_survives_the_wire(text: str) -> None:
    assert parse_spec(spec_json({"x": Decimal(text)})) == {"x": Decimal(text)}


@given(specs)
def test_the_digest_does_not_depend_on_the_order_of_fields(spec: dict[str, Any]) -> None:
    assert digest_of("Budget", "x", spec) == digest_of("Budget", "x", dict(reversed(spec.items())))


def test_several_documents_have_their_own_lines(read: Read) -> None:
    sources, problems = read("# comment\nkind: Owner\nname: a\nspec: {}\n---\nkind: Owner\nname: b\nspec: {}\n")
    assert [(source.name, source.line) for source in sources] == [("a", 2), ("b", 6)] and problems == []


def test_the_organisation_is_the_documents_own(read: Read) -> None:
    sources, _ = read("kind: Owner\nname: a\norg: acme\nspec: {}\n---\nkind: Owner\nname: a\nspec: {}\n")
    assert [source.org for source in sources] == ["acme", "default"]


@pytest.mark.parametrize("org", ["", " 7", " {a: b}", " null"])
def test_an_organisation_that_is_not_text_is_refused(read: Read, org: str) -> None:
    sources, problems = read(f"kind: Owner\nname: a\norg:{org}\nspec: {{}}\n")
    assert sources == [] and places(problems)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind: Budget\nname: [a\n", 3),
        ("kind: Budget\n\tname: a\n", 2),
        ("- a\n- b\n", 1),
        ("just text\n", 1),
        ("kind: Budget\nspec: {}\n", 1),
        ("kind: Budget\nname: 7\nspec: {}\n", 1),
        ("kind: Budget\nname: a\nspec: []\n", 1),
        ("kind: Budget\nname: a\nspec: {}\ncolour: red\n", 1),
        ("kind: Budget\nname: a\nspec: !!python/object:os.system {}\n", 3),
        ("kind: Budget\nname: a\nspec: {? [a] : b}\n", 3),
    ],
)
def test_what_is_not_a_document_is_refused_with_its_line(read: Read, text: str, line: int) -> None:
    sources, problems = read(text)
    assert sources == [] and places(problems) == [line]


BUDGET = "kind: Budget\nname: a\nspec:\n"


@pytest.mark.parametrize(
    ("spec", "line", "says"),
    [
        ("  a: {$decimal: x}\n", 4, "must not begin with $"),
        ("  a: 1\n  $b: 1\n", 5, "must not begin with $"),
        ("  a: !!set {x, y}\n", 4, "!!set"),
        ("  a: !!binary aGk=\n", 4, "!!binary"),
        ("  a: !!omap [x: 1]\n", 4, "!!omap"),
        ('  a: "\\ud800"\n', 4, "surrogate"),
        ('  "\\udfff": 1\n', 4, "surrogate"),
        ("  a: " + "[" * 3_000 + "]" * 3_000 + "\n", 4, "nested"),
        ("  a: " + "{b: " * 3_000 + "1" + "}" * 3_000 + "\n", 4, "nested"),
        ("  a: 1.0e+999999999\n", 4, "digits"),
        ("  a: 1.0e-61\n", 4, "digits"),
        (f"  a: {'9' * 5_000}\n", 4, "digits"),
        ("  a: !!int ten\n", 4, "is no int"),
        ("  a: !!bool ten\n", 4, "is no bool"),
        ("  a: 1\n  <<: 3\n", 5, "mapping"),
        ("  a: 1\n  b: \x07\n", 5, "not allowed"),
    ],
)
def test_what_no_document_may_hold_is_refused_with_its_line(read: Read, spec: str, line: int, says: str) -> None:
    sources, problems = read(BUDGET + spec)
    assert sources == [] and places(problems) == [line]
    text = str(problems[0])
    assert says in text and text.isprintable() and text.encode()


def test_anchors_that_multiply_are_refused(read: Read) -> None:
    lines = ["  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    sources, problems = read(BUDGET + "\n".join(lines) + "\n")
    assert sources == [] and "more than" in problems[0].message


def test_an_anchor_merged_into_a_mapping_still_works(read: Read) -> None:
    (source,), problems = read(BUDGET + "  a: &a {x: 1}\n  b: {<<: *a, y: 2}\n")
    assert problems == [] and source.spec["b"] == {"x": 1, "y": 2}


def test_a_document_too_large_for_the_topic_is_refused_with_its_line(read: Read) -> None:
    sources, _ = read(f"{GOOD}---\nkind: Route\nname: r\nspec: {{to: {'x' * (LARGEST_BYTES + 1)}}}\n")
    (problem,) = validate(sources)
    assert problem.line == 9 and "bytes" in problem.message


@given(specs)
def test_whatever_a_document_holds_reading_it_answers_and_never_raises(spec: dict[str, Any]) -> None:
    text = yaml.safe_dump({"kind": "Budget", "name": "a", "spec": yaml.safe_load(json.dumps(spec, default=str))})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.yaml"
        path.write_text(text)
        sources, problems = read_file(path)
    assert bool(sources) != bool(places(problems))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ('"cap\\x1facme"', "control character"),
        ('"a\\nb"', "control character"),
        ('"a\\u2028b"', "line break"),
        ('"\\ud800"', "surrogate"),
        ('""', "empty"),
        ('"  "', "empty"),
        ("x" * 201, "201"),
    ],
)
@pytest.mark.parametrize("field", ["name", "org"])
def test_a_name_that_cannot_be_a_key_is_refused_with_its_line(read: Read, field: str, name: str, says: str) -> None:
    given = {"name": "a", "org": "acme", field: name}
    sources, problems = read(f"kind: Budget\norg: {given['org']}\nname: {given['name']}\nspec: {{}}\n")
    assert sources == [] and places(problems) == [3 if field == "name" else 2]
    assert says in str(problems[0])


@pytest.mark.parametrize("name", ["Größe/日本", "a b", "x" * 200, "openai/gpt-5.4"])
def test_names_in_any_script_are_fine(read: Read, name: str) -> None:
    (source,), problems = read(f"kind: Budget\nname: {name}\nspec: {{}}\n")
    assert source.name == name and problems == []


def test_a_document_that_contains_itself_is_refused(read: Read) -> None:
    sources, problems = read("kind: Budget\nname: a\nspec: &loop\n  again: *loop\n")
    assert sources == [] and places(problems)


def test_a_field_that_is_given_twice_is_refused(read: Read) -> None:
    sources, problems = read("kind: Budget\nname: a\nspec:\n  amount_usd: 100\n  amount_usd: 900\n")
    assert sources == [] and places(problems) == [5]


def test_a_bad_document_does_not_hide_the_others(read: Read) -> None:
    sources, problems = read(
        "kind: Owner\nname: a\nspec: {}\n---\nname: b\nspec: {}\n---\nkind: Owner\nname: c\nspec: {}\n"
    )
    assert [source.name for source in sources] == ["a", "c"] and places(problems) == [5]


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    sources, problems = read_file(tmp_path / "missing.yaml")
    assert sources == [] and places(problems) == [1]
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert places(read_file(tmp_path / "binary.yaml")[1]) == [1]


def test_an_empty_file_holds_nothing(read: Read) -> None:
    assert read("") == ([], []) and read("# nothing yet\n") == ([], [])


def test_an_empty_document_between_separators_is_passed_over(read: Read) -> None:
    sources, problems = read("---\nkind: Owner\nname: a\nspec: {}\n---\n")
    assert [source.name for source in sources] == ["a"] and problems == []


@pytest.mark.parametrize(
    ("path", "line"),
    [("ladder[1].level", 7), ("ladder[1].unknown", 7), ("ladder", 5), ("ladder[9]", 5), ("scope.team", 4), ("nope", 1)],
)
def test_a_problem_names_the_nearest_line_that_is_known(read: Read, path: str, line: int) -> None:
    (source,), _ = read(
        "kind: Budget\nname: x\nspec:\n  scope: {team: search}\n  ladder:\n    - {at: 0.7, level: notice}\n"
        "    - {at: 0.8, level: warning}\n"
    )
    assert source.problem(path, "wrong").line == line


GOOD = """
kind: Budget
name: search-hour
spec:
  scope: {team: search}
  window: hour
  amount_usd: 10
"""


@pytest.mark.parametrize(
    ("bad", "line", "says"),
    [
        ("  amount_usd: -5", 7, "amount_usd"),
        ("  amount_usd: plenty", 7, "amount_usd"),
        ("  amount_usd: .inf", 7, "amount_usd"),
        ("  amount_usd: 10\n  colour: red", 8, "colour"),
        ("  amount_usd: 10\n  ladder:\n    - {at: 0.5, level: shouting}", 9, "level"),
    ],
)
def test_a_wrong_budget_is_refused_at_the_line_of_the_field(read: Read, bad: str, line: int, says: str) -> None:
    sources, _ = read(GOOD.replace("  amount_usd: 10", bad))
    problems = validate(sources)
    assert line in places(problems), [str(problem) for problem in problems]
    assert any(says in str(problem) for problem in problems)


def test_an_identity_that_is_declared_twice_is_refused_at_the_second_place(read: Read) -> None:
    sources, _ = read(f"{GOOD}---{GOOD}")
    assert places(validate(sources)) == [9]


def test_an_unknown_kind_is_refused(read: Read) -> None:
    sources, _ = read("kind: Budgett\nname: x\nspec: {}\n")
    (problem,) = validate(sources)
    assert "Budgett" in problem.message and problem.line == 1


# What an operator can write in any place: every YAML value, also where it makes no sense.
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**13)
    | decimals
    | st.sampled_from(
        [
            "",
            "x",
            "hour",
            "month",
            "fixed",
            "direct",
            "training_job",
            "2026-01-01T00:00:00Z",
            "Europe/Berlin",
            "1h",
            "12:00",
        ]
    )
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["at", "level", "input", "rate", "long", "team", "a", "rolling_hours"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
FIELDS = (
    "match", "model", "shares", "metric", "by", "kind", "max_usd", "team", "scope", "window", "timezone", "amount_usd",
    "ladder", "forecast_alert_at", "burn_rate", "fallback_model", "exempt", "provider", "aliases", "effective_from",
    "effective_to", "usd_per_million_tokens", "context_tiers", "service_tiers", "gpu", "usd_per_hour", "discount",
    "margin", "to", "starts_at", "ends_at", "expires_at", "approvers",
)  # fmt: skip


@pytest.mark.parametrize("kind", sorted(CHECKS))
@given(spec=st.dictionaries(st.sampled_from(FIELDS), anything, max_size=8))
def test_whatever_a_document_says_checking_it_answers_and_never_raises(kind: str, spec: dict[str, Any]) -> None:
    for path, message in check_spec("default", kind, "x", spec):
        assert isinstance(path, str) and message


@pytest.mark.parametrize("shares", [{"a": "x"}, {"a": None}, {"a": [1]}, {}])
def test_shares_that_are_no_shares_are_refused(shares: dict[str, Any]) -> None:
    wrong = check_spec(
        "default", "AttributionRule", "x", {"match": {"service": "s"}, "model": "fixed", "shares": shares}
    )
    assert [path for path, _ in wrong if path.startswith("shares")]


RULE = "kind: AttributionRule\nname: contract\nspec:\n  match: {category: infrastructure}\n  model: fixed\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("  shares: {search: 0.5, ads: 0.4}\n", 6, "shares: must sum to exactly 1, not 0.9"),
        ("  shares:\n    search: 0.5\n    ads: half\n", 8, "shares.ads: 'half' is not a number"),
        ("  shares: {ads: 1}\n  metric: requests\n", 7, "metric: has no meaning in model fixed"),
        ("", 1, "shares: is missing"),
    ],
)
def test_a_wrong_rule_is_refused_at_the_line_of_the_field(read: Read, text: str, line: int, says: str) -> None:
    sources, _ = read(RULE + text)
    (problem,) = validate(sources)
    assert problem.line == line and says in str(problem)
