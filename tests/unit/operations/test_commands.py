"""What every operators' command promises."""

from typing import Any

import pytest
import typer

from spendstream.cli.operations import mount


def commands() -> dict[str, Any]:
    app = typer.Typer()
    mount(app)

    def leaves(command: Any, path: str) -> dict[str, Any]:
        if hasattr(command, "commands"):
            return {k: v for name, sub in command.commands.items() for k, v in leaves(sub, f"{path} {name}").items()}
        return {path.strip(): command}

    return leaves(typer.main.get_command(app), "")


@pytest.mark.parametrize("path", sorted(commands()))
def test_its_help_has_an_example_of_itself_and_it_prints_json(path: str) -> None:
    command = commands()[path]
    assert f"spendstream {path}" in (command.help or "").split("Example:")[1]
    assert "--json" in [option for parameter in command.params for option in parameter.opts]


def test_these_are_the_commands() -> None:
    assert sorted(commands()) == [
        "alerts tail", "budgets status", "dead-letters replay", "dead-letters show", "doctor", "import billing",
        "import gpu",
        "import usage", "prices diff", "reallocate", "recommendations list", "reprice",
    ]  # fmt: skip
