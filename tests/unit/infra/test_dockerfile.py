"""The image: built from the lock by hash, small at run time, not root, and healthy only when it is ready."""

import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.unit.infra.files import DOCKERFILE, ROOT, dockerfile, exec_form, instructions, project

FINAL = max(each.stage for each in dockerfile())


def test_a_stage_that_builds_and_a_stage_that_runs() -> None:
    stages = [each.rest.split() for each in instructions("FROM")]
    assert [stage[2] for stage in stages] == ["build", "runtime"]
    assert {stage[0] for stage in stages} == {"python:3.11.15-slim-bookworm"}


def test_the_images_python_is_one_the_package_supports() -> None:
    minor = re.search(r"python:(\d+\.\d+)\.", instructions("FROM")[0].rest)
    assert minor and project()["requires-python"] == f">={minor[1]}"


def test_nothing_comes_from_a_url_and_nothing_is_the_latest() -> None:
    assert instructions("ADD") == []
    assert not re.search(r":latest|https?://(?!127\.0\.0\.1)|curl |wget ", DOCKERFILE.read_text())


def test_every_package_is_installed_by_hash_except_our_own_wheel() -> None:
    installs = [line for each in instructions("RUN") for line in each.rest.split("&&") if "pip install" in line]
    assert len(installs) == 3
    assert [line.split()[-1] for line in installs if "--require-hashes" not in line] == ["dist/*.whl"]


def test_what_is_copied_exists_and_passes_the_ignore_file() -> None:
    ignore = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    assert "*" in ignore, "everything is left out unless it is named"
    sources = [
        source for each in instructions("COPY") if "--from" not in each.rest for source in each.rest.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source.rstrip("/") == path or source.startswith(f"{path}/") for path in allowed), source


def test_everything_the_wheel_ships_is_copied_before_it_is_built() -> None:
    copied = {source.rstrip("/") for each in instructions("COPY") for source in each.rest.split()[:-1]}
    shipped = {"services", "loadgen", "schemas", "infra/clickhouse", "infra/kafka", "examples", "README.md"}
    assert shipped <= copied


def test_it_runs_as_a_user_that_is_not_root() -> None:
    users = [each for each in instructions("USER") if each.stage == FINAL]
    assert [each.rest for each in users] == ["10001:10001"]
    order = [each.name for each in dockerfile() if each.stage == FINAL]
    assert "RUN" not in order[order.index("USER") :]
    assert "COPY" not in order[order.index("USER") :]


def test_one_image_has_the_command_as_its_argument() -> None:
    assert [exec_form(each) for each in instructions("ENTRYPOINT")] == [["spendstream"]]
    assert set(project()["scripts"]) == {"spendstream"}


class Ready(http.server.BaseHTTPRequestHandler):
    """A service that is ready, or is not."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class NotReady(Ready):
    status = 503


@pytest.fixture(params=[(Ready, 0), (NotReady, 1)], ids=["ready", "not ready"])
def answering(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Port of a service, and the exit code the health check owes it."""
    handler, code = request.param
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], code
        server.shutdown()


def health_check(port: int) -> int:
    command = exec_form(instructions("HEALTHCHECK")[-1])
    environment = {**os.environ, "SPENDSTREAM_HTTP_PORT": str(port)}
    return subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, check=False).returncode


def test_the_health_check_is_readyz_and_tells_ready_from_not_ready(answering: tuple[int, int]) -> None:
    port, code = answering
    assert health_check(port) == code


def test_a_service_that_does_not_listen_is_unhealthy() -> None:
    assert health_check(1) == 1
