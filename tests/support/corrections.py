"""Prices that come late, and what the views then say."""

from decimal import Decimal
from pathlib import Path

from tests.support.installation import Installation

VIEWS = ("v_cost", "v_cost_minute", "v_cost_hourly")


def price(input: Decimal = Decimal(1), output: Decimal = Decimal(3), model: str = "small") -> str:
    """A Price document of test/`model`, dollars per million tokens, in force since 2020."""
    return (
        f"kind: Price\nname: test/{model}\nspec:\n  provider: test\n  model: {model}\n"
        "  effective_from: 2020-01-01T00:00:00Z\n"
        f"  usd_per_million_tokens: {{input: {input}, output: {output}}}\n"
    )


def tell(system: Installation, folder: Path, document: str) -> None:
    """Apply a document."""
    path = folder / "document.yaml"
    path.write_text(document)
    system.run("apply", "-f", str(path))


def totals(system: Installation) -> dict[str, Decimal]:
    """Cost of everything, by view."""
    return {view: system.value(f"select sum(cost_usd) from {view}") for view in VIEWS}
