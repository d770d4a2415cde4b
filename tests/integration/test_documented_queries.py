"""docs/queries says what is there: every view has a page with its very columns, and every query of a page runs."""

import re
from pathlib import Path

import pytest

from tests.support.installation import Installation

pytestmark = pytest.mark.embedded
PAGES = {path.stem: path.read_text() for path in Path("docs/queries").glob("*.md") if path.stem != "README"}
INDEX = Path("docs/queries/README.md").read_text()


#: Views that take parameters, and how they are asked.
WITH_PARAMETERS = {name: f"{name}(known_at = now64(6))" for name in ("v_cost_as_known", "v_gpu_cost_as_known")}


def columns(page: str) -> list[str]:
    """The names in the first cells of the page's table."""
    return [name for line in page.splitlines() if line.startswith("| `") for name in
            re.findall(r"`(\w+)`", line.split(" | ")[0])]  # fmt: skip


def queries(page: str) -> list[str]:
    return re.findall(r"```sql\n(.*?)```", page, re.DOTALL)


def test_every_view_has_a_page_and_the_index_names_every_page(reported_installation: Installation) -> None:
    views = {row[0] for row in reported_installation.query(
        "select name from system.tables where database = 'spendstream' and engine = 'View'"
    )}  # fmt: skip
    blocks = set(re.findall(r"`(\w+)`", INDEX.split("Building blocks")[1].split("\n\n")[0]))
    assert views - PAGES.keys() - blocks == set(), "write docs/queries/<view>.md: purpose, columns, a query"
    assert {name for name in PAGES if f"]({name}.md)" not in INDEX} == set()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_names_every_column_and_its_queries_run(name: str, reported_installation: Installation) -> None:
    described = [
        row[0] for row in reported_installation.query(f"describe (select * from {WITH_PARAMETERS.get(name, name)})")
    ]
    assert sorted(columns(PAGES[name])) == sorted(described)
    assert queries(PAGES[name])
    for sql in queries(PAGES[name]):
        reported_installation.query(sql)


def test_the_question_whether_the_export_costs_what_the_ledger_says_is_answered_with_zero(
    reported_installation: Installation,
) -> None:
    [sql] = [sql for sql in queries(PAGES["v_focus"]) if "difference" in sql]
    assert reported_installation.value(sql) == 0
    assert reported_installation.query(queries(PAGES["v_conservation"])[0])[0][-1]
