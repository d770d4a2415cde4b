"""Which price an hour of a GPU has, and who owns what runs on it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from spendstream.control.files import read_file
from spendstream.control.publish import as_documents
from spendstream.domain.attribution.owners import parse_owner
from spendstream.domain.gpu import GpuPriceBook, GpuPriceRevision
from spendstream.gpu_books import compile_book
from tests.unit.domain.gpu_support import USD, book, price, rated, reading

EXAMPLES = Path(__file__).parents[3] / "examples"
JANUARY = 1_767_225_600_000_000
DAY = 86_400_000_000


def hourly(found: GpuPriceRevision | str) -> float | str:
    return found if isinstance(found, str) else found.price.pico_usd_per_hour / USD


def test_the_price_is_the_one_in_force_when_the_sample_was_taken() -> None:
    prices = GpuPriceBook([price("4", start="2026-01-01"), price("3", start="2026-01-02")])
    moments = [JANUARY - 1, JANUARY, JANUARY + DAY - 1, JANUARY + DAY]
    assert [hourly(prices.at("NVIDIA X1", "", at)) for at in moments] == ["date", 4, 4, 3]


def test_a_price_ends_where_it_says_so() -> None:
    prices = GpuPriceBook([price("4", start="2026-01-01", effective_to="2026-01-02")])
    assert [hourly(prices.at("NVIDIA X1", "", JANUARY + after)) for after in (DAY - 1, DAY)] == [4, "date"]


def test_a_region_with_a_price_of_its_own_has_it_and_the_others_the_general_one() -> None:
    prices = GpuPriceBook([price("4"), price("6", region="eu"), price("1", gpu="Y2", region="eu")])
    assert [hourly(prices.at("NVIDIA X1", region, 0)) for region in ("eu", "us", "")] == [6, 4, 4]
    assert [hourly(prices.at("Y2", region, 0)) for region in ("eu", "us")] == [1, "region"]
    assert (
        rated(reading(labels={"region": "eu"}), book(prices=[price("4"), price("6", region="eu")])).cost_pico_usd
        == 6 * USD
    )


def test_the_last_revision_of_a_price_stands_and_is_named_on_the_row() -> None:
    prices = GpuPriceBook([price("5", revision=2, name="gpu/x1"), price("4", name="gpu/x1")])
    found = prices.at("NVIDIA X1", "", 0)
    assert hourly(found) == 5
    assert isinstance(found, GpuPriceRevision) and found.price_id == "gpu/x1@1970-01-01T00:00:00Z#2"


@pytest.mark.parametrize("name", ["NVIDIA X1", "nvidia  x1", "X1", "NVIDIA X1 MIG 1g.10gb"])
def test_maker_letter_case_and_mig_profile_make_no_other_model(name: str) -> None:
    assert hourly(GpuPriceBook([price()]).at(name, "", 0)) == 4
    assert hourly(GpuPriceBook([price()]).at("NVIDIA X10", "", 0)) == "model"


@pytest.mark.parametrize(
    ("gpu_model", "usd"),
    [("NVIDIA H100 80GB HBM3", 4.50), ("NVIDIA A100-SXM4-80GB", 2.50), ("NVIDIA A100-SXM4-40GB", 1.75),
     ("NVIDIA L4", 0.50), ("NVIDIA A10G", 0.75), ("Tesla T4", 0.35)],
)  # fmt: skip
def test_the_example_catalogue_has_the_list_prices_of_the_domain(gpu_model: str, usd: float) -> None:
    sources, problems = read_file(EXAMPLES / "prices.yaml")
    assert not problems
    declared = compile_book(as_documents(sources))
    assert hourly(declared.prices.at(gpu_model, "", JANUARY)) == usd


def owner_of(identity: dict[str, str], *owners: dict[str, Any]) -> tuple[str, str, str]:
    [row] = rated(reading(identity), book(*owners)).rows
    return row.owned.tags["team"], row.owned.service, row.owned.source


def test_an_owner_is_found_by_namespace_pod_job_container_or_host() -> None:
    pods = {"match": {"namespace": "search", "pod_prefix": "ranker-"}, "team": "search", "service": "ranker"}
    jobs = {"match": {"job_prefix": "train"}, "team": "lab"}
    node = {"match": {"host": "node-1"}, "team": "platform"}
    assert owner_of({"namespace": "search", "pod": "ranker-7d9f"}, pods, jobs, node) == ("search", "ranker", "registry")
    assert owner_of({"namespace": "other", "pod": "ranker-7d9f"}, pods, jobs) == ("unallocated", "", "unallocated")
    assert owner_of({"job": "train-17"}, pods, jobs, node) == ("lab", "", "registry")
    assert owner_of({"pod": "anything"}, pods, jobs, node) == ("platform", "", "registry")


def test_an_owner_with_dates_has_the_readings_that_end_while_it_is_in_force() -> None:
    lab = {"match": {"host": "node-1"}, "team": "lab", "effective_to": "2026-01-02"}
    search = {"match": {"host": "node-1"}, "team": "search", "effective_from": "2026-01-02"}
    declared = book(lab, search)
    teams = [
        rated(reading({"pod": "p"}, sampled_at=JANUARY + DAY + after), declared).rows[0].owned.tags["team"]
        for after in (-1, 0, -1)
    ]
    assert teams == ["lab", "search", "lab"]


def test_what_a_process_says_itself_stands_and_the_registry_adds_the_rest() -> None:
    registered = {"match": {"namespace": "search"}, "team": "other", "project": "rank", "service": "ranker"}
    [row] = rated(
        reading({"namespace": "search", "pod": "p", "team": "search", "service": "own"}), book(registered)
    ).rows
    assert row.owned.tags == {
        "team": "search",
        "project": "rank",
        "environment": "unallocated",
        "cost_center": "unallocated",
    }
    assert (row.owned.service, row.owned.source) == ("own", "event")


def test_an_owner_document_with_an_unknown_matcher_or_a_service_that_is_no_text_is_refused() -> None:
    spec = {"match": {"pod_suffix": "x"}, "team": "t", "service": 7}
    assert [path for path, _ in parse_owner("default", "o", spec)[1]] == ["match.pod_suffix", "service"]


def test_the_examples_declare_owners_of_pods_and_jobs() -> None:
    documents = list(yaml.safe_load_all((EXAMPLES / "owners.yaml").read_text()))
    assert any({"namespace", "job_prefix"} & set(document["spec"]["match"]) for document in documents)
