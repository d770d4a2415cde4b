"""A million charges, their prices changed for the past, and `reprice --apply`: seconds and CPU of each step.

`python -m tests.bench.repricing month|worst 1000000` starts Apache Kafka, chDB and attribution, and prints JSON. On a
busy machine CPU seconds say more than seconds; `idle` is what the processes use in a second of doing nothing.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from spendstream.control.publish import load_control
from spendstream.operations.reprice import Reports, Repriced, Repricing, Wanted
from spendstream.runtime.clickhouse.client import connect
from spendstream.runtime.stack.embedded import read_state
from tests.support.corrections import price, tell, totals
from tests.support.installation import Installation
from tests.support.stack import running_stack

Kind = Literal["month", "worst"]
WITHIN_S = 1_800
IDLE_S = 5
MODELS = 16
MINUTES = 30 * 24 * 60
SINCE_S = 1_740_787_200  # 2025-03-01
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

#: Per kind: minute, service, user and model of charge `number` of `charges`.
SHAPES: Mapping[Kind, tuple[str, str, str, str]] = {
    # Three times as many by day as by night; 240 services × models in the proportions of 1, 1/2, 1/3, …
    "month": (
        f"toInt64(floor({MINUTES} * (number / charges) + 110 * sin(60 * pi() * number / charges) + 60)) % {MINUTES}",
        "line % 60", "cityHash64(number, 2) % 400", f"line % {MODELS}",
    ),
    # Every charge in a minute, service and person of its own: nothing adds up.
    "worst": (
        f"number % {MINUTES}", f"intDiv(number, {MINUTES})", f"intDiv(number, {MINUTES})", f"number % {MODELS}",
    ),
}  # fmt: skip
SUMMED = """
  count() as events, sum(requests) as requests, countIf(call_status != 'ok') as error_requests,
  sum(cost_usd) as cost_usd
"""


def load(system: Installation, kind: Kind, charges: int) -> None:
    """Charges of thirty days, rated by the first prices, and the roll-ups that go with them."""
    minute, service, user, model = SHAPES[kind]
    client = connect(system.settings)
    client.command(f"""
        insert into charges (org, event_id, ts, team, project, environment, cost_center, service, feature, user_id,
          api_key_id, provider, model, operation, category, region, tier, status, call_status, owner_source, price_id,
          requests, input_tokens, input_uncached_tokens, output_tokens, output_text_tokens, cost_usd, latency_ms,
          incarnation, partition, offset, item, appended_at)
        with
          {charges} as charges, toInt64(floor(pow(241, cityHash64(number, 1) / 18446744073709551616.))) - 1 as line,
          {service} as s, {model} as m, 100 + toInt64(cityHash64(number, 3) % 8000) as input,
          10 + toInt64(cityHash64(number, 4) % 900) as output,
          fromUnixTimestamp64Micro({SINCE_S}000000 + ({minute}) * 60000000 + cityHash64(number, 5) % 60000000) as at
        select 'default', concat('request-', hex(cityHash64(number))), at, concat('team-', s % 12),
          concat('project-', s % 30), 'production', concat('cc-', s % 12), concat('service-', s), 'chat',
          concat('user-', {user}), concat('key-', s), 'test', concat('m-', m), 'chat', 'external_apis', 'eu-west-1',
          'standard', 'priced', if(cityHash64(number, 6) % 50 = 0, 'timeout', 'ok'), 'event',
          concat('test/m-', m, '@2020-01-01T00:00:00Z#1'), 1, input, input, output, output,
          toDecimal128(input + 3 * output, 12) / 1000000, 900, 'bench', number % 4, intDiv(number, 4), -1, at
        from numbers({charges}) settings max_block_size = 1000000, max_insert_block_size = 1000000
    """)
    for table, dimensions, sums in (
        (
            "cost_by_minute",
            "org, team, project, environment, cost_center, service, feature, provider, model, category, region, tier",
            ", countIf(status = 'priced') as priced_events",
        ),
        ("caller_cost_by_minute", "org, team, service, model, user_id, api_key_id", ""),
    ):
        columns = f"{dimensions}, incarnation, minute, source_partition"
        client.command(f"""
            insert into {table} ({columns}, events, requests, error_requests, cost_usd{", priced_events" * bool(sums)})
            select {dimensions}, incarnation, toStartOfMinute(ts) as minute, partition as source_partition,
            {SUMMED}{sums} from charges group by {columns}
        """)


def dearer(system: Installation, folder: Path, input_usd: int) -> None:
    """All models get this price of a million input tokens, since 2020."""
    folder.mkdir(exist_ok=True)
    tell(system, folder, "---\n".join(price(Decimal(input_usd), Decimal(3), f"m-{n}") for n in range(MODELS)))


class Meter:
    """Wall and CPU seconds between marks, the CPU by process."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = {**pids, "reprice": os.getpid()}
        self.steps: dict[str, dict[str, float]] = {}
        self._step, self._done, self._from = "", 0, self._read()

    def mark(self, step: str) -> None:
        """What follows belongs to `step`."""
        now = self._read()
        if self._step:
            known = self.steps.setdefault(self._step, defaultdict(float))
            for name, value in now.items():
                known[name] = round(known[name] + value - self._from[name], 2)
        self._step, self._from = step, now

    def progress(self, done: int, total: int) -> None:
        if done < self._done or self._step in ("", "before"):
            self.mark("publish" if self._step == "diff" else "diff")
        self._done = done

    def _read(self) -> dict[str, float]:
        return {"wall": time.monotonic(), **{name: _cpu_seconds(pid) for name, pid in self._pids.items()}}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def idle(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds of each process in a second."""
    meter = Meter(pids)
    meter.mark("idle")
    time.sleep(IDLE_S)
    meter.mark("")
    return {name: round(value / meter.steps["idle"]["wall"], 3) for name, value in meter.steps["idle"].items()}


def reprice(system: Installation, apply: bool, meter: Meter) -> Repriced:
    """What `spendstream reprice` does, its steps metered."""

    async def run() -> Repriced:
        control = await load_control(system.settings)
        reports = Reports(meter.progress, lambda what: meter.mark(_words(what)))
        repricing = Repricing(system.settings, control, time.monotonic() + WITHIN_S, reports)
        return await repricing.run(Wanted(0, (SINCE_S + 400 * 86_400) * 1_000_000), apply)

    meter.mark("before")
    done = asyncio.run(run())
    meter.mark("")
    return done


def _words(waiting: str) -> str:
    return "take in" if "taken in" in waiting else "sum up"


def measured(system: Installation, folder: Path, kind: Kind, charges: int) -> dict[str, Any]:
    """Load, compare, apply, apply again. `AssertionError` when a view is not what the prices say."""
    dearer(system, folder, 1)
    load(system, kind, charges)
    service = system.service("attribution")
    service.start()
    state = read_state(system.stack.home)
    assert state is not None
    pids = {"attribution": service.pid, **{name: pid for name, pid in state.pids.items() if name != "supervisor"}}
    dearer(system, folder, 2)
    steps: dict[str, Any] = {"idle": idle(pids)}
    for name, apply, changed in (("diff", False, charges), ("apply", True, charges), ("again", True, 0)):
        meter = Meter(pids)
        done = reprice(system, apply, meter)
        assert (done.diff.examined, done.diff.summary.total[0], done.diff.gone) == (charges, changed, 0)
        steps[name] = {**meter.steps, "all": round(sum(step["wall"] for step in meter.steps.values()), 2)}
    wanted = system.value("select sum(toDecimal128(2 * input_tokens + 3 * output_tokens, 12)) / 1000000 from charges")
    assert set(totals(system).values()) == {wanted}, totals(system)
    system.until("select sum(cost_usd) from caller_cost_by_minute final", wanted.__eq__, timeout=WITHIN_S)
    rows = "(select count() from cost_by_minute where late), (select count() from caller_cost_by_minute where late)"
    return {
        "kind": kind,
        "charges": charges,
        "rows": system.query(f"select {rows}")[0],
        "load": os.getloadavg(),
        **steps,
    }


def main() -> None:
    kind: Any = sys.argv[1]
    with running_stack("kafka") as stack, tempfile.TemporaryDirectory() as folder:
        system = Installation(stack)
        try:
            print(json.dumps(measured(system, Path(folder), kind, int(sys.argv[2])), indent=1))
        finally:
            system.end()


if __name__ == "__main__":
    main()
