"""Scenario files say what is wrong with them, and the shipped ones are right."""

from pathlib import Path

import pytest

from loadgen.pricing import Book
from loadgen.scenarios import ScenarioError, load_scenario, load_world, moment, seconds
from loadgen.world import SECOND

SHIPPED = sorted((Path(__file__).parents[3] / "examples" / "scenarios").glob("*.yaml"))
GOOD = "name: x\nrate_per_s: 1\nlive: 1m\nprices: p.yaml\n"


@pytest.mark.parametrize("path", [p for p in SHIPPED if p.name != "prices.yaml"], ids=lambda p: p.stem)
def test_shipped_scenarios_load_with_their_prices(path):
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    Book.load(scenario.prices_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rate_per_s: 1\nlive: 1m\nprices: p\n", "name: Field required"),
        (GOOD + "faults: {duplicates: 2}\n", "faults.duplicates: Input should be less than or equal to 1"),
        (GOOD + "faults: {poison_forms: [rotten]}\n", "faults.poison_forms.0"),
        (GOOD + "spead: 3\n", "spead: Extra inputs"),
        (GOOD.replace("1m", "soon"), "live: Value error, 'soon' is no duration"),
        (GOOD.replace("live: 1m\n", ""), "nothing to do"),
        (GOOD + "incidents: [{name: a, kind: spike, at: live+1s, lasts: 1m}]\n", "a spike needs factor"),
        (GOOD + "incidents: [{name: a, kind: drop, at: live-1m, lasts: 1m}]\n", "begins before the live part"),
        (GOOD + "incidents: [{name: a, kind: drop, at: noon, lasts: 1m}]\n", "incidents.0.at: Value error, 'noon'"),
        (
            GOOD + "incidents: [{name: a, kind: runaway, at: live, lasts: 1m, requests: 5, match: {team: nobody}}]\n",
            "incidents.0.match: no caller",
        ),
        ("- a\n", "must be a mapping"),
        ("a: [\n", "not YAML"),
    ],
)
def test_a_mistake_is_named_with_file_and_field(tmp_path, text, complaint):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert complaint in str(refused.value)


def test_a_misspelt_field_of_a_world_is_an_error(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text("callers: [{team: t, service: s, feature: f, models: {a/b: 1}, wieght: 2}]\n")
    with pytest.raises(ScenarioError, match="wieght"):
        load_world(path)


def test_moments_and_durations_read_as_written():
    anchors = {"start": 0, "live": 100 * SECOND, "end": 200 * SECOND}
    assert [seconds(text) for text in ("90s", "1.5m", "2h", "1d")] == [90, 90, 7_200, 86_400]
    assert moment("live + 30s", anchors) == 130 * SECOND
    assert moment("end-1m", anchors) == 140 * SECOND
    assert moment("start", anchors) == 0


def test_control_documents_are_no_scenario():
    with pytest.raises(ScenarioError, match="this is no scenario"):
        load_scenario(Path(__file__).parents[3] / "examples" / "prices.yaml")
