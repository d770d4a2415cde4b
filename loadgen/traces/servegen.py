"""ServeGen workloads (github.com/alibaba/ServeGen): rates of production clients, and what their requests are like.

`client_rates.csv` has the requests a second of each client in steps of ten minutes, `client_token_quantiles.csv` beside
it the tokens of a request in steps of six hours (either may be gzipped). A step becomes one record that stands for the
requests in it: their number adds up to rate × time for each client, their tokens are the mean of the step times that.
"""

import csv
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

from loadgen.traces.reading import BadRow, Row, Trace, UnreadableTrace, micros_from_start, open_text
from loadgen.wire import defaults

RATES = ("category", "model", "client_id", "t_s", "rate_rps")
TOKENS = ("category", "model", "client_id", "t_s", "field", "mean")
STEP_S = 600
SECOND = 1_000_000
INPUT = ("input_tokens", "text_tokens", "image_tokens", "audio_tokens")  # what the data sets call parts of the input

Client = tuple[str, str, str]
Steps = dict[str, list[tuple[int, Decimal]]]  # field → (start, mean), in order of time


def read_servegen(trace: Trace) -> Iterator[Row | BadRow]:
    """Rows of the rates, provider and model their own; steps without requests are left out.

    `UnreadableTrace` when a column or the file of token quantiles is missing.
    """
    tokens = _tokens(trace.path)
    sent: dict[Client, Decimal] = {}  # fractions of requests that a client has not sent yet
    with open_text(trace.path) as file:
        lines = _table(trace.path, file, RATES)
        for line in lines:
            client = (line["category"], line["model"], line["client_id"])
            try:
                start, rate = int(line["t_s"]), _number(line["rate_rps"])
            except ValueError as error:
                yield BadRow(lines.line_num, "t_s, rate_rps", str(error))
                continue
            due = sent.get(client, Decimal(0)) + rate * STEP_S
            requests = int(due)
            sent[client] = due - requests
            if not requests:
                continue
            if client not in tokens:
                yield BadRow(lines.line_num, "client_id", "has no token quantiles: its requests cannot be sized")
                continue
            yield Row(lines.line_num, _record(trace, lines.line_num, client, start, requests, tokens[client]))


def _record(trace: Trace, number: int, client: Client, start: int, requests: int, steps: Steps) -> dict[str, object]:
    category, model, client_id = client
    mean = {name: _at(values, start) for name, values in steps.items()}
    outputs = mean.get("output_tokens", Decimal(0))

    def tokens(*names: str) -> int:
        return round(requests * sum((mean.get(name, Decimal(0)) for name in names), Decimal(0)))

    return {
        **defaults(),
        "event_id": trace.event_id(number),
        "occurred_at": micros_from_start(str(start), SECOND),
        "provider": "alibaba-cloud",
        "model": model,
        "feature": category,
        "user_id": f"client-{client_id}",
        "requests": requests,
        "input_tokens": tokens(*INPUT),
        "image_input_tokens": tokens("image_tokens"),
        "audio_input_tokens": tokens("audio_tokens"),
        "output_tokens": tokens("output_tokens"),
        "reasoning_tokens": int(requests * outputs * min(Decimal(1), mean.get("reason_ratio", Decimal(0)))),
    }


def _at(steps: list[tuple[int, Decimal]], moment: int) -> Decimal:
    """The mean in force at a moment: of the last step that has begun, of the first one before any has."""
    return next((mean for start, mean in reversed(steps) if start <= moment), steps[0][1])


def _tokens(rates: Path) -> dict[Client, Steps]:
    names = [
        rates.name.replace("client_rates", "client_token_quantiles").removesuffix(".gz") + end for end in ("", ".gz")
    ]
    path = next((rates.with_name(name) for name in names if rates.with_name(name).is_file()), None)
    if path is None or path == rates:
        raise UnreadableTrace(f"{rates}: beside it must be {names[0]}, which says how many tokens requests have")
    found: dict[Client, Steps] = {}
    with open_text(path) as file:
        lines = _table(path, file, TOKENS)
        for line in lines:
            client = (line["category"], line["model"], line["client_id"])
            try:
                step = (int(line["t_s"]), _number(line["mean"]))
            except ValueError as error:
                raise UnreadableTrace(f"{path}: line {lines.line_num}: t_s, mean: {error}") from None
            found.setdefault(client, {}).setdefault(line["field"], []).append(step)
    for steps in found.values():
        for means in steps.values():
            means.sort()
    return found


def _table(path: Path, file: Iterator[str], columns: tuple[str, ...]) -> "csv.DictReader[str]":
    lines = csv.DictReader(file, restval="")
    missing = [column for column in columns if column not in (lines.fieldnames or ())]
    if missing:
        raise UnreadableTrace(f"{path}: line 1: no column {', '.join(missing)}")
    return lines


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if not number.is_finite() or number < 0 or number.adjusted() > 9:
        raise ValueError(f"{text}: must be from 0 to 10^9")
    return number
