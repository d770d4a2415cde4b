"""`spendstream economics`: a question in a file, the answer as a table or JSON. Nothing has to run for it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spendstream.cli.failures import USAGE, CommandError, errors
from spendstream.cli.output import cents, print_json, print_table
from spendstream.cli.reaching import JsonOption

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from spendstream.control.files import Problem

economics_app = typer.Typer(help="What it costs, what it would cost, and what pays.", no_args_is_help=True)

#: Command → what it answers; the models behind them are in domain/economics/models.py.
QUESTIONS: Mapping[str, str] = {
    "tco": "Total cost of ownership: direct, people and hidden cost, a month, a year and a unit.",
    "cost": "What a pattern of use costs at given token prices, and what changes against the first one.",
    "breakeven": "From which volume self-hosting costs less than an API, capacity of the GPUs first.",
    "build-vs-buy": "Own development against a price per unit over a horizon, with weighted factors.",
    "crossover": "The volume at which two cost lines cross, if they do.",
    "gpu-select": "Which GPU serves a peak within its latency and memory for the least money, and how many.",
    "gpu-price": "What an hour of useful work costs on a GPU that is not always busy.",
    "training": "Training strategies over a horizon: up front, inference, payback.",
    "caching": "What a response cache is worth, and the hit rate at which it pays.",
    "prompt-cache": "What a provider's prompt cache is worth for a shared prefix, and from how many reads on.",
    "batching": "What a batch API at a discount is worth.",
    "batch-size": "The batch size that makes a million tokens cheapest within a latency.",
    "savings": "Ranking of optimisations: alone, and combined in sequence.",
    "project": "Cost as use grows: fixed, linear and with economies of scale.",
    "roi": "What a measure has brought: before, after, payback, realised against predicted.",
}
SHARES = frozenset(("share", "headroom", "realised", "roi", "rate", "utilisation"))

FileOption = Annotated[Path, typer.Option("-f", "--file", help="The question, YAML or JSON.")]


def _command(name: str) -> Callable[..., None]:
    def command(file: FileOption, as_json: JsonOption = False) -> None:
        answer = _answer(name, file)
        if as_json:
            print_json(asdict(answer))
        else:
            _show(answer)

    command.__doc__ = f"{QUESTIONS[name]}\n\nExample: spendstream economics {name} -f examples/economics/{name}.yaml"
    return command


for _name in QUESTIONS:
    economics_app.command(_name)(_command(_name))


def _answer(name: str, file: Path) -> Any:
    """What the model says to a file; a usage error that names file, line and field when it cannot."""
    from pydantic import ValidationError  # noqa: PLC0415

    from spendstream.control.files import read_mapping  # noqa: PLC0415
    from spendstream.domain.economics.models import MODELS  # noqa: PLC0415

    found = read_mapping(file)
    if isinstance(found, list):
        raise _wrong(found)
    asked, lines = found
    model = MODELS[name]
    try:
        return model.work_out(model.document.model_validate(asked))
    except ValidationError as error:
        raise _wrong([_problem(str(file), lines, each) for each in error.errors()]) from error
    except ValueError as error:
        raise CommandError(f"{file}: {error}", USAGE) from error


def _problem(file: str, lines: Mapping[str, int], error: "ErrorDetails") -> "Problem":
    """The error at the line of its field, or of the nearest field around it."""
    from spendstream.control.files import Problem  # noqa: PLC0415

    path, line, last = "", 1, ""
    for part in error["loc"]:
        step = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}".lstrip(".")
        last = str(part)
        if step in lines:
            path, line = step, lines[step]
    path = path if path.endswith((last, "]")) else f"{path}.{last}".lstrip(".")
    return Problem(file, line, path, error["msg"].removeprefix("Value error, "))


def _wrong(problems: "Sequence[Problem]") -> CommandError:
    for problem in problems:
        errors.print(str(problem), markup=False)
    return CommandError(f"{len(problems)} problem(s) in the file, see above", USAGE)


def _show(answer: Any) -> None:
    """Single figures as one table, each list as a table of its own."""
    single = [(name.replace("_", " "), text) for name, text in _single(answer)]
    if single:
        print_table("", ("", "value"), single)
    for field in fields(answer):
        rows = getattr(answer, field.name)
        if isinstance(rows, tuple) and rows and is_dataclass(rows[0]):
            names = [column.name for column in fields(rows[0])]
            names = [name for name in names if any(getattr(row, name) not in (None, "") for row in rows)]
            cells = [[_text(name, getattr(row, name)) for name in names] for row in rows]
            print_table(f"\n{field.name}", [name.replace("_", " ") for name in names], cells)


def _single(answer: Any) -> Iterator[tuple[str, str]]:
    """Name and text of what is no list of records; what says nothing is left out."""
    for field in fields(answer):
        value = getattr(answer, field.name)
        if is_dataclass(value):
            yield from _single(value)
        elif isinstance(value, tuple) and not (value and is_dataclass(value[0])):
            yield field.name, ", ".join(map(str, value)) or "none"
        elif value not in (None, "") and not isinstance(value, tuple):
            yield field.name, _text(field.name, value)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if "usd" in name.split("_"):
        return cents(value)
    if isinstance(value, Decimal):
        return (
            f"{value:.2%}" if SHARES & set(name.split("_")) else f"{value.quantize(Decimal('0.0001')).normalize():,f}"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)
