"""Every control document we ship or print in the docs can be applied as it is."""

import re
from pathlib import Path

import pytest

from spendstream.control.files import read_file
from spendstream.control.publish import validate

ROOT = Path(__file__).parents[3]
FILES = [*sorted((ROOT / "examples").glob("*.yaml")), ROOT / "examples/demo/budgets.yaml"]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_examples_are_valid(path: Path) -> None:
    sources, problems = read_file(path)
    assert sources and problems + validate(sources) == []


def blocks() -> list[tuple[str, str]]:
    """YAML blocks of the docs that are control documents."""
    found = [(page.name, text) for page in PAGES for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)]
    return [(name, text) for name, text in found if re.search(r"^kind: [A-Z]", text, re.M)]


@pytest.mark.parametrize(("page", "text"), blocks())
def test_documents_in_the_docs_are_valid(page: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "document.yaml"
    path.write_text(text)
    sources, problems = read_file(path)
    assert sources and problems + validate(sources) == []


def test_the_docs_show_documents() -> None:
    assert {"prices-and-owners.md"} <= {page for page, _ in blocks()}
