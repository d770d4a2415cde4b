"""The compose file, checked without a Docker engine: structure, commands, variables, mounts, limits, health."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from spendstream.cli.app import app
from spendstream.cli.run import SERVICES
from spendstream.runtime.settings import Settings
from tests.unit.infra.files import ROOT, compose, exec_form, instructions, ours, project, services

EVERY = pytest.mark.parametrize("name", sorted(services()))
OURS = pytest.mark.parametrize("name", sorted(ours()))

#: What the Compose specification lets a file and a service have, as far as this file may use it.
TOP = {"name", "services", "volumes"}
SERVICE = {"build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment", "healthcheck", "image",
           "init", "ports", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "ulimits",
           "volumes"}  # fmt: skip
HEALTH = {"disable", "interval", "retries", "start_interval", "start_period", "test", "timeout"}
DURATION = re.compile(r"(\d+(ms|s|m|h))+")
CONDITIONS = {"service_healthy", "service_started", "service_completed_successfully"}

#: Variables the images themselves know, beside those Kafka's image turns into broker settings.
IMAGE_VARIABLES = {
    "kafka": {"CLUSTER_ID", "KAFKA_HEAP_OPTS"},
    "clickhouse": {"CLICKHOUSE_USER", "CLICKHOUSE_PASSWORD"},
    "grafana": {
        "GF_SECURITY_ADMIN_PASSWORD", "GF_USERS_ALLOW_SIGN_UP", "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES", "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH",
    },
}  # fmt: skip
#: Broker settings the embedded Kafka gets from its launcher instead of its properties file.
LAUNCHED = {"listeners", "advertised.listeners", "log.dirs", "controller.quorum.voters", "inter.broker.listener.name"}


def environment(name: str) -> dict[str, str]:
    return {key: str(value) for key, value in services()[name].get("environment", {}).items()}


def test_the_file_has_only_sections_of_the_specification() -> None:
    assert {key for key in compose() if not key.startswith("x-")} == TOP


@EVERY
def test_a_service_has_only_options_of_the_specification(name: str) -> None:
    service = services()[name]
    assert set(service) <= SERVICE
    assert set(service.get("healthcheck", {})) <= HEALTH
    assert re.fullmatch(r"no|always|unless-stopped|on-failure(:\d+)?", service["restart"])
    times = [service[key] for key in ("stop_grace_period",) if key in service]
    health = service.get("healthcheck", {})
    times += [health[key] for key in ("interval", "timeout", "start_period", "start_interval") if key in health]
    assert all(DURATION.fullmatch(time) for time in times)


def test_the_files_merge_keys_leave_no_anchor_unused() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"&(\w+)", text)) == set(re.findall(r"\*(\w+)", text))


def test_every_processor_is_a_service_of_its_own_name() -> None:
    assert set(ours()) == {*SERVICES, "setup"}
    for name in SERVICES:
        assert services()[name]["command"] == ["run", name]


@OURS
def test_every_command_of_ours_exists(name: str) -> None:
    service = services()[name]
    if service.get("entrypoint") == ["sh", "-c"]:
        (script,) = service["command"]
        commands = [part.split() for part in script.split(" && ")]
        assert all(command.pop(0) == "spendstream" for command in commands)
    else:
        commands = [service["command"]]
    for command in commands:
        shown = CliRunner().invoke(app, [*command, "--help"])
        assert shown.exit_code == 0, shown.output
        assert "Example" in shown.output


@OURS
def test_every_variable_of_ours_is_a_setting_and_its_value_is_accepted(name: str, monkeypatch: Any) -> None:
    given = environment(name)
    assert set(given) <= {str(field.alias) for field in Settings.model_fields.values()}
    for variable, value in given.items():
        monkeypatch.setenv(variable, substituted(value))
    settings = Settings.load()
    assert settings.kafka_bootstrap == "kafka:9092"
    assert settings.clickhouse_url.get_secret_value() == "http://spendstream:local-only@clickhouse:8123"


def substituted(value: str) -> str:
    """The value compose uses where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@pytest.mark.parametrize("name", sorted(IMAGE_VARIABLES))
def test_every_variable_of_another_image_is_known_to_it(name: str) -> None:
    properties = (ROOT / "infra" / "kafka" / "server.properties").read_text()
    settings = {line.split("=")[0] for line in properties.splitlines() if "=" in line and line[0] != "#"} | LAUNCHED
    for variable in environment(name).keys() - IMAGE_VARIABLES[name]:
        assert name == "kafka" and variable.startswith("KAFKA_"), variable
        assert variable.removeprefix("KAFKA_").lower().replace("_", ".") in settings, variable


def test_the_broker_is_configured_as_the_embedded_one() -> None:
    """One copy of everything, no topic by typo; and the address the clients use is one it advertises."""
    given = environment("kafka")
    assert given["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert {value for key, value in given.items() if key.endswith(("REPLICATION_FACTOR", "MIN_ISR"))} == {"1"}
    listeners = dict(each.split("://") for each in given["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert listeners["INSIDE"] == environment("attribution")["KAFKA_BOOTSTRAP"]
    assert listeners["HOST"] == Settings.model_fields["kafka_bootstrap"].default
    mapped = {each.split(":")[0] for each in given["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    assert mapped == {each.split("://")[0] for each in given["KAFKA_LISTENERS"].split(",")}


@EVERY
def test_every_image_is_pinned_to_a_version(name: str) -> None:
    image, tag = services()[name]["image"].rsplit(":", 1)
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(\.\d+)?", tag), f"{image}:{tag}"


def test_kafka_and_our_image_have_the_versions_declared_elsewhere() -> None:
    pom = ET.parse(ROOT / "infra" / "kafka" / "pom.xml")
    version = pom.findtext("{*}properties/{*}kafka.version")
    assert services()["kafka"]["image"] == f"apache/kafka:{version}"
    assert {service["image"] for service in ours().values()} == {f"spendstream:{project()['version']}"}


@EVERY
def test_every_mounted_path_exists_and_every_volume_is_declared(name: str) -> None:
    for mount in services()[name].get("volumes", []):
        source, target, *options = mount.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (ROOT / source).exists() and options == ["ro"]
        else:
            assert source in compose()["volumes"]


def test_every_declared_volume_is_somebodys_and_nobody_shares_one() -> None:
    mounted = [m.split(":")[0] for service in services().values() for m in service.get("volumes", [])]
    named = [source for source in mounted if not source.startswith(".")]
    assert sorted(named) == sorted(compose()["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_the_state_of_a_processor_outlives_its_container(name: str) -> None:
    assert f"{name}:{environment(name)['SPENDSTREAM_HOME']}" in services()[name]["volumes"]


@EVERY
def test_every_service_has_a_memory_limit_and_ports_for_this_machine_only(name: str) -> None:
    service = services()[name]
    assert re.fullmatch(r"\d+[mg]", service["deploy"]["resources"]["limits"]["memory"])
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in service.get("ports", []))


@EVERY
def test_every_service_is_watched_and_comes_back(name: str) -> None:
    service = services()[name]
    if name == "setup":
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"].startswith("on-failure")
    else:
        assert service["restart"] == "unless-stopped"
        assert name in SERVICES or service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", SERVICES)
def test_a_processor_is_asked_by_the_images_health_check_where_it_listens(name: str) -> None:
    assert "healthcheck" not in services()[name], "the image's own asks /readyz"
    assert "/readyz" in exec_form(instructions("HEALTHCHECK")[-1])[-1]
    given = environment(name)
    assert (given["SPENDSTREAM_HTTP_HOST"], given["SPENDSTREAM_HTTP_PORT"]) == ("0.0.0.0", "8080")


@OURS
def test_what_runs_our_code_has_no_rights_it_does_not_need(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service and "privileged" not in service, "the image's own user is not root"


def test_nothing_starts_before_what_it_needs() -> None:
    needs = {name: service.get("depends_on", {}) for name, service in services().items()}
    for name, needed in needs.items():
        for other, how in needed.items():
            assert other in services() and how["condition"] in CONDITIONS, f"{name} → {other}"
    assert {other: how["condition"] for other, how in needs["setup"].items()} == {
        "kafka": "service_healthy", "clickhouse": "service_healthy",
    }  # fmt: skip
    for name in SERVICES:
        assert needs[name]["setup"]["condition"] == "service_completed_successfully"


def test_a_password_is_a_variable_with_a_default_that_says_it_is_local() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    loaded = yaml.safe_load(text)["services"]
    secrets = [
        str(value)
        for service in loaded.values()
        for key, value in service.get("environment", {}).items()
        if re.search(r"PASSWORD|SECRET|TOKEN|URL", key)
    ]
    assert len(secrets) == 7
    assert all(re.search(r"\$\{(CLICKHOUSE|GRAFANA)_PASSWORD:-local-only\}", value) for value in secrets)
    assert not re.search(r"\$\{SPENDSTREAM_", text), "an unknown SPENDSTREAM_ variable is an error on the host"
