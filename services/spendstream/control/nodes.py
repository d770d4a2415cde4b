"""What a YAML node of a document may hold, checked before anything is built from it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import yaml

DEEPEST = 64
MOST_NODES = 100_000
MOST_DIGITS = 60  # before or behind the point
TOO_LONG = f"has more than {MOST_DIGITS} digits before or behind the point"
CORE = "tag:yaml.org,2002:"
PLAIN = frozenset(CORE + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp"))

Fault = tuple[int, str, str]


class ExactLoader(yaml.SafeLoader):
    """Safe YAML whose floats are decimals, whose timestamps stay text, and which does not nest without end."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        try:
            if self._depth > DEEPEST:
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise yaml.MarkedYAMLError(problem=f"is nested more than {DEEPEST} deep", problem_mark=mark)
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    text = str(loader.construct_scalar(node)).replace("_", "")
    try:
        value = Decimal(text)
    except ArithmeticError:
        return text
    return value if value.is_finite() else text


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    """An integer; `1:30`, which YAML 1.1 reads as 90, and `010`, which it reads as 8, stay the text they look like."""
    text = str(loader.construct_scalar(node))
    digits = text.lstrip("+-")
    octal = digits[:1] == "0" and digits[1:].replace("_", "").isdigit()
    return text if ":" in text or octal else loader.construct_yaml_int(node)


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


ExactLoader.add_constructor(f"{CORE}float", _decimal)
ExactLoader.add_constructor(f"{CORE}int", _whole)
ExactLoader.add_constructor(f"{CORE}timestamp", _text)


def faults(node: yaml.Node) -> Iterator[Fault]:
    """(line, field, what is wrong) of everything that can be no part of a document."""
    yield from _Walk().node(node, "", 0)


def has_surrogate(text: str) -> bool:
    """True for half a character: it cannot be written as UTF-8."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


class _Walk:
    """Once through a tree. An anchor's node is visited wherever it is used, so the visits are counted."""

    def __init__(self) -> None:
        self._visited = 0
        self._build = ExactLoader("")

    def node(self, node: yaml.Node, path: str, depth: int) -> Iterator[Fault]:
        line = node.start_mark.line + 1
        self._visited += 1
        if depth > DEEPEST:
            yield line, path, f"contains itself, or is nested more than {DEEPEST} deep"
        elif self._visited > MOST_NODES:
            if self._visited == MOST_NODES + 1:
                yield line, path, f"has more than {MOST_NODES} fields and items"
        elif node.tag not in PLAIN:
            yield line, path, f"{node.tag.replace(CORE, '!!')} cannot be in a document: only plain text, numbers, " \
                "true or false, lists and mappings"  # fmt: skip
        elif isinstance(node, yaml.MappingNode):
            yield from self._mapping(node, path, depth)
        elif isinstance(node, yaml.SequenceNode):
            for i, child in enumerate(node.value):
                yield from self.node(child, f"{path}[{i}]", depth + 1)
        elif problem := self._scalar(node):
            yield line, path, problem

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> Iterator[Fault]:
        seen: set[str] = set()
        for key, child in node.value:
            line = key.start_mark.line + 1
            if key.tag == f"{CORE}merge":
                yield from self.node(child, path, depth + 1)
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag not in PLAIN:
                yield line, path, "has a field whose name is not plain text"
                continue
            name = str(key.value)
            inner = f"{path}.{name}" if path else name
            if name in seen:  # the second would silently win
                yield line, inner, "is given twice"
            seen.add(name)
            if name.startswith("$"):
                yield line, inner, "must not begin with $"
            if problem := self._scalar(key):
                yield line, inner, problem
            yield from self.node(child, inner, depth + 1)

    def _scalar(self, node: yaml.Node) -> str:
        """What is wrong with a value; empty when nothing is."""
        if node.tag == f"{CORE}int" and len(node.value) > MOST_DIGITS:
            return TOO_LONG
        try:
            value = self._build.construct_document(node)
        except (ValueError, KeyError, TypeError) as error:
            return f"is no {node.tag.removeprefix(CORE)}: {str(error)[:100]}"
        if isinstance(value, str) and has_surrogate(value):
            return "holds half a character (a lone surrogate)"
        return TOO_LONG if isinstance(value, Decimal) and _is_long(value) else ""


def _is_long(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return value.adjusted() >= MOST_DIGITS or (isinstance(exponent, int) and exponent < -MOST_DIGITS)
