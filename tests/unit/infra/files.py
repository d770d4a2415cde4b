"""The deployment files as the tests read them: the compose file, the Dockerfile, and what they refer to."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[3]
OBSERVABILITY = ROOT / "infra" / "observability"
DOCKERFILE = ROOT / "infra" / "docker" / "Dockerfile"


@cache
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """Services that run our image."""
    return {name: service for name, service in services().items() if service["image"].startswith("spendstream:")}


@cache
def project() -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return loaded["project"]  # type: ignore[no-any-return]


class Instruction(NamedTuple):
    """One Dockerfile instruction, continuation lines joined; `stage` counts FROMs from 0."""

    stage: int
    name: str
    rest: str


@cache
def dockerfile() -> tuple[Instruction, ...]:
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Instruction] = []
    stage = -1
    for line in filter(str.strip, text.splitlines()):
        name, rest = line.strip().split(maxsplit=1)
        stage += name == "FROM"
        found.append(Instruction(stage, name, rest.strip()))
    return tuple(found)


def instructions(name: str) -> list[Instruction]:
    return [each for each in dockerfile() if each.name == name]


def exec_form(instruction: Instruction) -> list[str]:
    """Arguments of `CMD [...]`, `ENTRYPOINT [...]` or the CMD of a HEALTHCHECK."""
    arguments: list[str] = json.loads(instruction.rest[instruction.rest.index("[") :])
    return arguments
