"""The worked example of docs/allocation.md comes out as the page says, with the rules that are shipped."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from spendstream.control.files import read_file
from spendstream.domain.allocation import Rule, SourceRow, allocate, parse_rule
from spendstream.domain.money import pico_from_usd
from tests.support.allocation import row

ROOT = Path(__file__).parents[3]


def table(first_column: str) -> Iterator[dict[str, str]]:
    """The rows of the page's table whose first column is called so."""
    lines = iter((ROOT / "docs/allocation.md").read_text().splitlines())
    header = next(cells(line) for line in lines if line.startswith(f"| {first_column} |"))
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield dict(zip(header, cells(line), strict=True))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def month() -> list[SourceRow]:
    return [
        row(
            line["USD"],
            kind="idle" if line["kind"] else "",
            reason=line["kind"],
            metrics={name: line[name] for name in ("requests", "tokens") if line[name]},
            **{name: line[name] for name in ("source", "category", "service", "team")},
        )
        for line in table("source")
    ]


def shipped_rules() -> list[Rule]:
    sources, _ = read_file(ROOT / "examples/rules.yaml")
    return [rule for source in sources if (rule := parse_rule(source.org, source.name, source.spec)[0])]


def test_the_worked_example_comes_out_to_the_pico_dollar() -> None:
    found: Counter[tuple[str, str, str]] = Counter()
    for placement, pico in allocate(month(), shipped_rules()).items():
        found[placement.bucket, placement.kind, placement.rule] += pico
    stated = {(line["bucket"], line["kind"], line["rule"]): pico_from_usd(line["USD"]) for line in table("bucket")}
    assert found == stated and len(stated) == 18
    assert sum(stated.values()) == sum(source.cost_pico_usd for source in month()) == Decimal(2_550) * 10**12
