"""Prometheus and Grafana ask only for metrics that exist, at addresses that exist."""

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from spendstream.attribution.usage.processor import OUTCOMES
from spendstream.cli.run import SERVICES
from spendstream.runtime import metrics
from tests.unit.infra.files import OBSERVABILITY, services

DASHBOARDS = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
FUNCTIONS = {"and", "by", "clamp_min", "deriv", "histogram_quantile", "max", "min", "on", "or", "rate", "scalar",
             "sum", "unless", "without"}  # fmt: skip


def loaded(path: str) -> Any:
    return yaml.safe_load((OBSERVABILITY / path).read_text())


def rules() -> list[dict[str, Any]]:
    return [rule for group in loaded("prometheus/alerts.yml")["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    """Every query of every dashboard and rule."""
    panels = [panel for path in DASHBOARDS for panel in json.loads(path.read_text())["panels"]]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules()]


@pytest.fixture(scope="module")
def declared() -> dict[str, set[str]]:
    """Sample names of the shared machinery, with the labels each has."""
    found: dict[str, set[str]] = {"up": set()}
    for collector in vars(metrics).values():
        for name in REGISTRY._collector_to_names[collector] if isinstance(collector, MetricWrapperBase) else ():
            found[name] = {*collector._labelnames, *(["le"] if name.endswith("_bucket") else [])}
    return found


def test_there_is_something_to_check(declared: dict[str, set[str]]) -> None:
    assert len(expressions()) > 10
    assert {"spendstream_events_total", "spendstream_batch_seconds_bucket"} <= declared.keys()


def names(expression: str) -> set[str]:
    """Metric names of an expression: what is left without strings, label lists, grouping, ranges and functions."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on)\s*\([^)]*\)', " ", expression)
    return set(re.findall(r"[a-zA-Z_]\w*", bare)) - FUNCTIONS


@pytest.mark.parametrize("expression", expressions())
def test_a_query_uses_metrics_that_exist_and_labels_they_have(expression: str, declared: dict[str, set[str]]) -> None:
    used = names(expression)
    assert used and used <= declared.keys()
    matched = re.findall(r'[{,]\s*(\w+)\s*[=!]~?"', expression)
    grouped = [each.strip() for group in re.findall(r"\bby\s*\(([^)]*)\)", expression) for each in group.split(",")]
    known = {label for name in used for label in declared[name]} | {"job", "instance", "service"}
    assert set(matched) | set(grouped) <= known


def test_every_metric_of_ours_is_on_a_dashboard(declared: dict[str, set[str]]) -> None:
    shown = {name for expression in expressions() for name in names(expression)}
    ours = {name for name in declared if name.startswith("spendstream_")}
    families = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in ours}
    assert families == {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in shown - {"up"}}


def test_every_outcome_asked_for_is_one_that_is_counted() -> None:
    """The outcomes are disjoint, so their sum is all events; a misspelt one would draw an empty line."""
    asked = [
        outcome
        for expression in expressions()
        for names in re.findall(r'spendstream_events_total\{outcome=~?"([^"]+)"', expression)
        for outcome in names.split("|")
    ]
    assert asked and set(asked) <= set(OUTCOMES)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Any) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] and board["title"] and board["schemaVersion"] >= 39
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    sources = loaded("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    uids = {source["uid"] for source in sources}
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["datasource"]["uid"] in uids and panel["description"]
        at = panel["gridPos"]
        mine = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert max(x for x, _ in mine) < 24 and not mine & cells, f"{panel['title']} overlaps"
        cells |= mine


def test_prometheus_scrapes_every_processor_where_it_listens() -> None:
    (job,) = loaded("prometheus/prometheus.yml")["scrape_configs"]
    targets = [target for config in job["static_configs"] for target in config["targets"]]
    assert sorted(targets) == sorted(
        f"{name}:{services()[name]['environment']['SPENDSTREAM_HTTP_PORT']}" for name in SERVICES
    )
    (relabel,) = job["relabel_configs"]
    match = re.fullmatch(relabel["regex"], "attribution:8080")
    assert match and match[1] == "attribution"


def test_every_rule_file_exists_and_every_alert_says_how_bad_and_what() -> None:
    config = loaded("prometheus/prometheus.yml")
    assert all((OBSERVABILITY / "prometheus" / name).exists() for name in config["rule_files"])
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["labels"]["severity"] in ("notice", "warning", "action", "critical", "page")
        assert rule["for"] and rule["annotations"]["summary"]


def test_grafana_reads_its_files_where_compose_puts_them_and_asks_the_prometheus_of_compose() -> None:
    mounts = {m.split(":")[1]: m.split(":")[0] for m in services()["grafana"]["volumes"]}
    (provider,) = loaded("grafana/provisioning/dashboards/spendstream.yml")["providers"]
    folder = provider["options"]["path"]
    assert mounts[folder] == "./infra/observability/grafana/dashboards"
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in {f"{folder}/{path.name}" for path in DASHBOARDS}
    (source,) = loaded("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090" and source["isDefault"]
    assert services()["prometheus"]["ports"] == ["127.0.0.1:19090:9090"]
