"""YAML to documents, with numbers as decimals and the line of every field."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from spendstream.control.nodes import CORE, ExactLoader, faults

LONGEST_NAME = 200
UNUSABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, line and paragraph separators


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f" {self.path}:" if self.path else ""
        return _visible(f"{self.file}:{self.line}:{where} {self.message}")


def _visible(text: str) -> str:
    """Text a terminal can be given: what would move its cursor, or is no character, as its escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


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


def read_file(path: Path) -> tuple[list[Source], list[Problem]]:
    """Every document of a file, and what could not be read of it."""
    nodes, problems = _nodes(path)
    sources: list[Source] = []
    for node in nodes:
        found = _source(str(path), node)
        if isinstance(found, Source):
            sources.append(found)
        else:
            problems += found
    return sources, problems


def read_mapping(path: Path) -> tuple[Mapping[str, Any], Mapping[str, int]] | list[Problem]:
    """The one mapping of a YAML or JSON file, numbers as decimals, and the line of every field; or what is wrong."""
    name = str(path)
    nodes, problems = _nodes(path)
    if problems:
        return problems
    if len(nodes) != 1 or not isinstance(nodes[0], yaml.MappingNode):
        return [Problem(name, 1, "", "must be one mapping")]
    value = _value(name, nodes[0])
    return value if isinstance(value, list) else (value, dict(_lines(nodes[0], "")))


def _nodes(path: Path) -> tuple[list[yaml.Node], list[Problem]]:
    """The documents of a YAML file as they are written, up to where it is no YAML; empty ones are left out."""
    name = str(path)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        return [], [Problem(name, 1, "", f"cannot be read: {error}")]
    nodes: list[yaml.Node] = []
    try:
        for node in yaml.compose_all(text, Loader=ExactLoader):
            if node is not None and node.tag != "tag:yaml.org,2002:null":
                nodes.append(node)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return nodes, [Problem(name, line, "", f"not YAML: the character {chr(error.character)!a} is not allowed")]
    except yaml.YAMLError as error:
        return nodes, [_not_yaml(name, error)]
    return nodes, []


def _not_yaml(file: str, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    return Problem(file, mark.line + 1 if mark else 1, "", f"not YAML: {getattr(error, 'problem', error)}")


def _value(file: str, node: yaml.MappingNode) -> Mapping[str, Any] | list[Problem]:
    """What a mapping says, or everything in it that no document may hold."""
    if found := [Problem(file, at, path, message) for at, path, message in faults(node)]:
        return found
    try:
        value: Mapping[str, Any] = ExactLoader("").construct_document(node)
        return value
    except yaml.YAMLError as error:
        return [_not_yaml(file, error)]


def _source(file: str, node: yaml.Node) -> Source | list[Problem]:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        return [Problem(file, line, "", "a document must be a mapping with kind, name and spec")]
    value = _value(file, node)
    if isinstance(value, list):
        return value
    problems = [
        Problem(file, line, key, "is missing or not text")
        for key in ("kind", "name")
        if not isinstance(value.get(key), str)
    ]
    problems += _unusable_names(file, node)
    if not isinstance(value.get("spec"), Mapping):
        problems.append(Problem(file, line, "spec", "is missing or not a mapping"))
    if "org" in value and not isinstance(value["org"], str):
        problems.append(Problem(file, line, "org", "must be text"))
    unknown = set(value) - {"kind", "name", "spec", "org"}
    problems += [Problem(file, line, str(key), "is not a field of a document") for key in sorted(map(str, unknown))]
    if problems:
        return problems
    spec_node = next(child for key, child in node.value if key.value == "spec")
    lines = dict(_lines(spec_node, ""))
    return Source(file, line, value.get("org", "default"), value["kind"], value["name"], value["spec"], lines)


def _unusable_names(file: str, node: yaml.MappingNode) -> Iterator[Problem]:
    """Names are keys on the topic, labels of alerts and columns of tables."""
    for key, child in node.value:
        if key.value not in ("name", "org") or child.tag != f"{CORE}str":
            continue
        line, name = child.start_mark.line + 1, str(child.value)
        if not name.strip():
            yield Problem(file, line, key.value, "must not be empty")
        if len(name) > LONGEST_NAME:
            yield Problem(file, line, key.value, f"has {len(name)} characters: at most {LONGEST_NAME}")
        if any(unicodedata.category(letter) in UNUSABLE for letter in name):
            yield Problem(file, line, key.value, f"{name[:LONGEST_NAME]!r} holds a control character or a line break")


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
