"""YAML to documents, with numbers as decimals and the line of every field."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f" {self.path}:" if self.path else ""
        return f"{self.file}:{self.line}:{where} {self.message}"


@dataclass(frozen=True)
class Source:
    """One document of a file; `lines` maps field paths to line numbers."""

    file: str
    line: int
    org: str
    kind: str
    name: str
    spec: Mapping[str, Any]
    lines: Mapping[str, int] = field(repr=False)

    def problem(self, path: str, message: str) -> Problem:
        """A problem at the nearest line that is known for a path inside the spec."""
        known = path
        while known and known not in self.lines:
            known = known[: max(known.rfind("."), known.rfind("["), 0)]
        return Problem(self.file, self.lines.get(known, self.line), f"{self.kind}/{self.name} {path}".strip(), message)


class _ExactLoader(yaml.SafeLoader):
    """Safe YAML whose floats are decimals and whose timestamps stay text."""


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    text = str(loader.construct_scalar(node)).replace("_", "")
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_ExactLoader.add_constructor("tag:yaml.org,2002:float", _decimal)
_ExactLoader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def read_file(path: Path) -> tuple[list[Source], list[Problem]]:
    """Every document of a file, and what could not be read of it."""
    name = str(path)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        return [], [Problem(name, 1, "", f"cannot be read: {error}")]
    sources: list[Source] = []
    problems: list[Problem] = []
    try:
        for node in yaml.compose_all(text, Loader=_ExactLoader):
            if node is None or node.tag == "tag:yaml.org,2002:null":
                continue
            found = _source(name, node)
            if isinstance(found, Source):
                sources.append(found)
            else:
                problems += found
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problems.append(
            Problem(name, mark.line + 1 if mark else 1, "", f"not YAML: {getattr(error, 'problem', error)}")
        )
    return sources, problems


def _source(file: str, node: yaml.Node) -> Source | list[Problem]:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        return [Problem(file, line, "", "a document must be a mapping with kind, name and spec")]
    try:
        twice = list(_given_twice(node))
    except RecursionError:
        return [Problem(file, line, "", "contains itself")]
    if twice:
        return [Problem(file, at, key, "is given twice") for key, at in twice]
    value = _ExactLoader("").construct_document(node)
    problems = [
        Problem(file, line, key, "is missing or not text")
        for key in ("kind", "name")
        if not isinstance(value.get(key), str)
    ]
    if not isinstance(value.get("spec"), Mapping):
        problems.append(Problem(file, line, "spec", "is missing or not a mapping"))
    if "org" in value and (not isinstance(value["org"], str) or not value["org"]):
        problems.append(Problem(file, line, "org", "must be text"))
    unknown = set(value) - {"kind", "name", "spec", "org"}
    problems += [Problem(file, line, str(key), "is not a field of a document") for key in sorted(map(str, unknown))]
    if problems:
        return problems
    spec_node = next(child for key, child in node.value if key.value == "spec")
    lines = dict(_lines(spec_node, ""))
    return Source(file, line, value.get("org", "default"), value["kind"], value["name"], value["spec"], lines)


def _given_twice(node: yaml.Node) -> Iterator[tuple[str, int]]:
    """Fields that occur twice in one mapping: the second would silently win."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, child in node.value:
            name = str(key.value)
            if name in seen:
                yield name, key.start_mark.line + 1
            seen.add(name)
            yield from _given_twice(child)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _given_twice(child)


def _lines(node: yaml.Node, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            inner = f"{path}.{key.value}" if path else str(key.value)
            yield inner, key.start_mark.line + 1
            yield from _lines(child, inner)
    elif isinstance(node, yaml.SequenceNode):
        for i, child in enumerate(node.value):
            yield f"{path}[{i}]", child.start_mark.line + 1
            yield from _lines(child, f"{path}[{i}]")


def read_mapping(path: Path) -> tuple[Mapping[str, Any], Mapping[str, int]] | list[Problem]:
    """The one mapping of a YAML or JSON file, numbers as decimals, and the line of every field; or what is wrong."""
    name = str(path)
    try:
        node = yaml.compose(path.read_text(), Loader=_ExactLoader)
    except (OSError, UnicodeDecodeError) as error:
        return [Problem(name, 1, "", f"cannot be read: {error}")]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return [Problem(name, mark.line + 1 if mark else 1, "", f"not YAML: {getattr(error, 'problem', error)}")]
    if not isinstance(node, yaml.MappingNode):
        return [Problem(name, 1, "", "must be one mapping")]
    try:
        twice = list(_given_twice(node))
    except RecursionError:
        return [Problem(name, 1, "", "contains itself")]
    if twice:
        return [Problem(name, at, key, "is given twice") for key, at in twice]
    return _ExactLoader("").construct_document(node), dict(_lines(node, ""))
