"""The worked examples of the economics toolkit, to the cent, through the command; and what it says to a wrong file."""

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from spendstream.cli.app import app
from spendstream.cli.economics import QUESTIONS, economics_app
from spendstream.cli.failures import explained
from spendstream.domain.economics.models import MODELS

EXAMPLES = Path(__file__).parents[3] / "examples" / "economics"


class Command:
    """`spendstream economics …` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._monkeypatch, self._capsys, self.folder = monkeypatch, capsys, folder

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        self._monkeypatch.setattr(sys, "argv", ["spendstream", "economics", *arguments])
        found = explained(app)
        out, err = self._capsys.readouterr()
        assert found == code, err
        return out, err

    def json(self, name: str, file: Path) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run(name, "-f", str(file), "--json")[0])
        return answer

    def example(self, name: str, example: str = "") -> dict[str, Any]:
        return self.json(name, EXAMPLES / f"{example or name}.yaml")

    def file(self, text: str, name: str = "question.yaml") -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    return Command(monkeypatch, capsys, tmp_path)


def cents(text: str) -> Decimal:
    return Decimal(text).quantize(Decimal("0.01"))


def test_total_cost_of_three_figures(command: Command) -> None:
    found = command.example("tco", "tco-platform")
    assert cents(found["monthly_usd"]) == 80_000
    assert [Decimal(found[f"{kind}_share"]) * 100 for kind in ("direct", "people", "hidden")] == [
        60, Decimal("31.25"), Decimal("8.75"),
    ]  # fmt: skip


def test_total_cost_of_a_chatbot(command: Command) -> None:
    found = command.example("tco")
    assert {item["name"]: cents(item["monthly_usd"]) for item in found["items"]} == {
        "4 × L4": 1_440, "API calls": 1_000, "storage in GB": Decimal("12.65"), "engineers": 10_500,
        "incidents and rework": Decimal("367.90"),
    }  # fmt: skip
    assert cents(found["direct_usd"]) == Decimal("2452.65")
    assert cents(found["monthly_usd"]) == Decimal("13320.55")
    assert Decimal(found["per_unit_usd"]).quantize(Decimal("0.0001")) == Decimal("0.0266")


def test_a_request_of_gpt_5_5_and_a_million_of_them_a_day(command: Command) -> None:
    one, day = command.example("cost")["patterns"]
    assert [Decimal(one[name]) for name in ("input_usd", "output_usd", "cost_usd")] == [
        Decimal("0.010"), Decimal("0.015"), Decimal("0.025"),
    ]  # fmt: skip
    assert cents(day["cost_usd"]) == 25_000


def test_the_nightly_incident(command: Command) -> None:
    always, night = command.example("cost", "cost-incident")["patterns"]
    assert (cents(always["cost_usd"]), cents(night["cost_usd"])) == (375, 11_250)


def test_an_hour_of_useful_work_of_a_gpu(command: Command) -> None:
    prices = command.example("gpu-price")["prices"]
    assert [cents(price["effective_usd_per_hour"]) for price in prices] == [4, 16, 40]


def test_self_hosting_that_never_pays(command: Command) -> None:
    found = command.example("breakeven", "breakeven-never")
    assert found["verdict"] == "never"
    assert found["from_requests"] is None
    assert (cents(found["one_set_usd"]), cents(found["set_usd"])) == (5_600, 3_600)
    assert (found["set_capacity_requests"], found["naive_requests"]) == (25_920_000, 65_882_353)
    assert cents(found["set_replaces_api_usd"]) == Decimal("2203.20")


def test_self_hosting_of_longer_answers_that_never_pays(command: Command) -> None:
    question = yaml.safe_load((EXAMPLES / "breakeven-never.yaml").read_text()) | {"tokens_per_request": 500}
    path = command.file(json.dumps(question).replace("2.5", '"2.5"').replace("0.85", '"0.85"').replace("0.5", '"0.5"'))
    found = command.json("breakeven", Path(path))
    assert (found["verdict"], found["set_capacity_requests"], found["naive_requests"]) == (
        "never",
        5_184_000,
        13_176_471,
    )


def test_self_hosting_that_pays_within_its_capacity(command: Command) -> None:
    found = command.example("breakeven")
    assert (found["verdict"], found["from_requests"], found["sets"]) == ("breaks even", 2_240_000, 1)
    assert (found["demand_cheaper"], cents(found["demand_api_usd"])) == ("self-host", 7_500)


def test_an_embedding_service_is_bought(command: Command) -> None:
    found = command.example("build-vs-buy")
    parts = [cents(found[f"{name}_usd"]) for name in ("development", "infrastructure", "maintenance", "build", "buy")]
    assert parts == [90_000, 126_000, 78_750, 294_750, 94_300]
    assert (found["cheaper"], found["better_scored"]) == ("buy", "build")
    assert (Decimal(found["build_score"]), Decimal(found["buy_score"])) == (Decimal("3.6"), Decimal("3.3"))


def test_a_crossover(command: Command) -> None:
    found = command.example("crossover")
    assert (Decimal(found["volume"]), cents(found["cost_usd"])) == (2_000_000, 24_000)
    assert (found["below"], found["above"]) == ("buy", "build")


def test_gpus_for_a_hundred_requests_a_second(command: Command) -> None:
    found = command.example("gpu-select")
    assert [(offer["gpu"], offer["instances"], cents(offer["monthly_usd"])) for offer in found["offers"]] == [
        ("L4", 3, 1_080), ("A10G", 2, 1_080), ("A100-40", 1, 1_260),
    ]  # fmt: skip
    assert found["best"] == ["L4", "A10G"]
    assert [Decimal(offer["headroom"]) for offer in found["offers"]] == [Decimal("0.2"), 0, 0]


def test_three_optimisations_alone_and_in_sequence(command: Command) -> None:
    found = command.example("savings")
    assert {step["measure"]: cents(step["alone_usd"]) for step in found["steps"]} == {
        "cache a quarter": 20_000, "route to Haiku 4.5": 39_600, "shorter prompts": 4_000,
    }  # fmt: skip
    totals = [cents(found[f"{name}_usd"]) for name in ("before", "alone", "after", "saved")]
    assert totals == [80_000, 63_600, 28_740, 51_260]
    assert Decimal(found["saved_share"]).quantize(Decimal("0.001")) == Decimal("0.641")


def test_training_strategies(command: Command) -> None:
    found = command.example("training")
    by_name = {line["strategy"]: line for line in found["strategies"]}
    tuned, adapter = by_name["fine-tuned 8 B"], by_name["adapter"]
    # 5 × 6 × 8e9 × 2e9 / (989e12 × 0.4 × 3 600) = 337.04 GPU hours at 4.50, and 23 000 of data and people
    assert (found["best"], cents(tuned["gpu_usd"]), tuned["payback_months"]) == (
        "fine-tuned 8 B",
        Decimal("1516.68"),
        4,
    )
    assert cents(tuned["upfront_usd"]) == Decimal("24516.68")
    # 10 × 24 h, a tenth done twice, at 2.50 × 0.4
    assert (adapter["good_enough"], cents(adapter["gpu_usd"])) == (False, 264)


def test_a_response_cache(command: Command) -> None:
    found = command.example("caching")
    # 3 000 000 × 0.25 × 0.004 = 3 000, less 340 and 3 000 000 × 0.00002 = 60; 400 / 12 000
    assert cents(found["result"]["net_saving_usd"]) == 2_600
    assert Decimal(found["breakeven_hit_rate"]).quantize(Decimal("0.0001")) == Decimal("0.0333")
    assert Decimal(found["result"]["payback_months"]) == 5


def test_a_prompt_cache(command: Command) -> None:
    found = command.example("prompt-cache")
    # 1 000 000 × 8 000 × 3 / 10^6 = 24 000, of which (1.25 + 19 × 0.1) / 20 = 0.1575 are left; 0.25 / 0.9
    assert [cents(found[f"{name}_usd"]) for name in ("without", "with", "saving")] == [24_000, 3_780, 20_220]
    assert Decimal(found["breakeven_reads_per_write"]).quantize(Decimal("0.0001")) == Decimal("0.2778")


def test_a_batch_size(command: Command) -> None:
    found = command.example("batch-size")
    # 4.50 / (250 × 3 600) × 10^6 = 5 a million, 1 with five times the tokens; 2 592 million tokens a month
    assert [cents(size["usd_per_million_tokens"]) for size in found["sizes"]] == [
        5, Decimal("1.67"), 1, Decimal("0.69"),
    ]  # fmt: skip
    assert (found["best"], cents(found["saving_usd"])) == (32, 10_368)
    assert [size["fast_enough"] for size in found["sizes"]] == [True, True, True, False]


def test_a_batch_api(command: Command) -> None:
    found = command.example("batching")
    assert (cents(found["net_saving_usd"]), Decimal(found["payback_months"])) == (3_800, 2)  # 20 000 × 0.4 × 0.5 - 200


def test_a_measure_is_judged_by_the_unit(command: Command) -> None:
    found = command.example("roi")
    assert cents(found["result"]["net_saving_usd"]) == 15_000  # (0.04 - 0.03) × 1 500 000, though the bill grew
    assert Decimal(found["realised"]) == Decimal("0.9375")


def test_cost_as_use_grows(command: Command) -> None:
    found = command.example("project")
    costs = [cents(point["cost_usd"]) for point in found["points"]]
    # 2^0.7 = 1.624505, 10^0.7 = 5.011872, 100^0.7 = 25.118864
    assert costs == [10_000, Decimal("16873.51"), Decimal("67035.62"), Decimal("577356.59")]


def test_every_command_has_a_model_an_example_file_and_help(command: Command) -> None:
    assert set(QUESTIONS) == set(MODELS) == {each.name for each in economics_app.registered_commands}
    for name in QUESTIONS:
        example = f"Example: spendstream economics {name} -f examples/economics/{name}.yaml"
        assert "".join(example.split()) in "".join(command.run(name, "--help")[0].split())  # it is wrapped
        assert "{" not in command.run(name, "-f", str(EXAMPLES / f"{name}.yaml"))[0]
    names = {path.stem for path in EXAMPLES.glob("*.yaml")}
    assert {name for name in names if not any(name.startswith(known) for known in QUESTIONS)} == set()


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("gpu-price", "usd_per_hour: 4\nutilisation: [1, 0]\n", "question.yaml:2: utilisation[1]: "),
        ("gpu-price", "usd_per_hour: four\nutilisation: [1]\n", "question.yaml:1: usd_per_hour: 'four' is not"),
        ("gpu-price", "utilisation: [1]\nusd_per_hour: 4\nusd: 3\n", "question.yaml:3: usd: "),
        ("gpu-price", "usd_per_hour: 4\n", "question.yaml:1: utilisation: Field required"),
        ("gpu-price", "usd_per_hour: 4\nusd_per_hour: 5\n", "question.yaml:2: usd_per_hour: is given twice"),
        ("gpu-price", "- 4\n", "question.yaml:1: must be one mapping"),
        ("gpu-price", "usd_per_hour: [4\n", "question.yaml:2: not YAML"),
        ("tco", "direct:\n  - {name: a, usd: 3}\n  - {name: b, quantity: 3}\n", "question.yaml:3: direct[1]: give"),
        ("savings",
         "traffic: {name: t, usd_per_million_tokens: {}}\nmeasures:\n  - kind: cache\n    name: c\n    share: 2\n",
         "question.yaml:5: measures[0].share: "),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_line_and_field(command: Command, name: str, text: str, where: str) -> None:
    _, said = command.run(name, "-f", command.file(text), code=2)
    assert where in said


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("build-vs-buy", {"months": 2}, "development takes 3 of 2 months"),
        ("build-vs-buy", {"factors": [{"name": "a", "weight": 1, "build": 1, "buy": 1}] * 2}, "add up to 2, not 1"),
        ("breakeven", {"tokens_per_request": 10**10}, "serves less than one request"),
    ],
)
def test_what_cannot_be_is_said_in_words(command: Command, name: str, change: dict[str, Any], problem: str) -> None:
    question = yaml.load((EXAMPLES / f"{name}.yaml").read_text(), Loader=yaml.BaseLoader) | change
    _, said = command.run(name, "-f", command.file(json.dumps(question)), code=2)
    assert problem in said


def test_a_file_that_is_not_there(command: Command) -> None:
    assert "cannot be read" in command.run("tco", "-f", "nowhere.yaml", code=2)[1]
