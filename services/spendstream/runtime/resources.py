"""Where the files that travel with the program are: inside the wheel, or in the checkout."""

from pathlib import Path

_IN_CHECKOUT = {
    "schemas": "schemas",
    "clickhouse": "infra/clickhouse",
    "kafka": "infra/kafka",
    "examples": "examples",
}


def shipped(name: str) -> Path:
    """The folder ``schemas``, ``clickhouse``, ``kafka`` or ``examples``; KeyError for any other name."""
    in_checkout = _IN_CHECKOUT[name]
    package = Path(__file__).resolve().parents[1]
    packaged = package / "_shipped" / name
    return packaged if packaged.is_dir() else package.parents[1] / in_checkout
