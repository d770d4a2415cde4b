"""What is installed from the wheel finds the files that travel with it, without the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.unit.infra.files import ROOT

LOOK = """
import json, pathlib, loadgen, spendstream
from spendstream.runtime.resources import shipped
from spendstream.runtime.clickhouse.migrate import migrations
from spendstream.runtime.stack.kafka_jars import pinned_version
from spendstream.schemas import encode, topics
from spendstream.schemas.catalogue import directory, record_schema, schema_ids

names = ("schemas", "clickhouse", "kafka", "examples")
print(json.dumps({
    "packages": [spendstream.__file__, loadgen.__file__, str(directory())],
    "files": {n: sorted(str(p.relative_to(shipped(n))) for p in shipped(n).rglob("*") if p.is_file()) for n in names},
    "records": [record_schema(record)["name"] for record in schema_ids()],
    "topics": len(topics()),
    "migrations": len(migrations(shipped("clickhouse"))),
    "kafka": pinned_version(shipped("kafka") / "pom.xml"),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a fresh environment that has our wheel; its dependencies are those of this test's environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", str(ROOT), "--wheel-dir", str(folder)], check=True)
    (wheel,) = folder.glob("spendstream-*.whl")
    venv.create(folder / "env")
    python = folder / "env" / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    site = next((folder / "env" / "lib").glob("python*")) / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def seen(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the installed package finds, asked from a folder outside the checkout."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    away = tmp_path_factory.mktemp("elsewhere")
    told = subprocess.run(
        [installed, "-c", LOOK], cwd=away, env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def in_checkout(folder: str) -> list[str]:
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(str(path.relative_to(ROOT / folder)) for path in files)


def test_packages_and_declarations_are_the_installed_ones(installed: Path, seen: dict[str, Any]) -> None:
    assert all(path.startswith(str(installed.parents[1])) for path in seen["packages"])


@pytest.mark.parametrize(
    ("name", "folder"),
    [("schemas", "schemas"), ("clickhouse", "infra/clickhouse"), ("kafka", "infra/kafka"), ("examples", "examples")],
)
def test_every_file_that_travels_with_the_program_arrives(name: str, folder: str, seen: dict[str, Any]) -> None:
    assert seen["files"][name] == in_checkout(folder) != []


def test_the_installed_files_are_usable(seen: dict[str, Any]) -> None:
    assert len(seen["records"]) >= 12 and seen["topics"] >= 14
    assert seen["migrations"] == len(in_checkout("infra/clickhouse"))
    assert seen["kafka"]


def test_the_installed_command_runs(installed: Path) -> None:
    told = subprocess.run(
        [installed.parent / "spendstream", "run", "attribution", "--explain"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "KAFKA_BOOTSTRAP" in told.stdout
