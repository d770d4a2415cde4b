"""What every side drains: a company with several hundred models, its price list, and its calls on the `usage` topic."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from loadgen.line import Progress, Target
from loadgen.run import run_scenario
from loadgen.scenarios import Scenario
from loadgen.truth import TruthFile

EVENTS_PER_S = 5_000.0  # of event time: decides how many minutes, and so roll-up rows, a backlog touches
MODELS = 300
TEAMS = 24
CALLERS = 96
USERS_PER_CALLER = 10
MODELS_PER_CALLER = 4
DAY_S = 86_400
PROVIDERS = ("openai", "anthropic", "self-hosted", "mistral", "google", "cohere")


def write_workload(folder: Path) -> tuple[Path, Path]:
    """Write `prices.yaml` (control documents) and `world.yaml`; returns both paths."""
    prices, world = folder / "prices.yaml", folder / "world.yaml"
    prices.write_text(yaml.safe_dump_all(price_documents(), sort_keys=False))
    world.write_text(yaml.safe_dump(company(), sort_keys=False))
    return prices, world


def model_name(number: int) -> tuple[str, str]:
    """Provider and name of a model of the price list."""
    return PROVIDERS[number % len(PROVIDERS)], f"bench-{number:03d}"


def price_documents() -> Iterator[dict[str, Any]]:
    """`Price` documents with cache prices and service tiers; some with a context tier, some with a discount."""
    for number in range(MODELS):
        provider, model = model_name(number)
        cents = 20 + 7 * number  # per million input tokens
        usd = {"input": cents, "output": 5 * cents, "cache_read": cents / 10, "cache_write_5m": cents * 1.25,
               "image_input": cents}  # fmt: skip
        spec: dict[str, Any] = {
            "provider": provider,
            "model": model,
            "effective_from": "2025-01-01T00:00:00Z",
            "usd_per_million_tokens": {name: round(value / 100, 4) for name, value in usd.items()},
            "service_tiers": {"batch": {"multiplier": 0.5}, "priority": {"multiplier": 2}},
        }  # fmt: skip
        if number % 3 == 0:
            dearer = {"input": round(cents / 50, 4), "output": round(cents / 12.5, 4)}
            spec["context_tiers"] = [{"above_input_tokens": 8_000, "usd_per_million_tokens": dearer}]
        if number % 4 == 0:
            spec["discount"] = 0.075
        yield {"kind": "Price", "name": f"{provider}/{model}", "spec": spec}


def company() -> dict[str, Any]:
    """A world file: 96 features of 24 teams, 960 users, steady around the clock; one feature's model has no price."""
    callers = [_caller(number) for number in range(CALLERS)]
    callers[-1]["models"] = {"mystery/unlisted": 1.0}
    return {"daily_swing": 0.0, "weekend": 1.0, "error_share": 0.01, "callers": callers}


def _caller(number: int) -> dict[str, Any]:
    models = [model_name((number * MODELS_PER_CALLER + i) % MODELS) for i in range(MODELS_PER_CALLER)]
    team = number % TEAMS
    return {
        "team": f"team-{team:02d}",
        "project": f"project-{team:02d}",
        "cost_center": f"cc-{team % 8}",
        "service": f"service-{number // 2:02d}",
        "feature": f"feature-{number:02d}",
        "region": "eu-west-1" if number % 2 else None,
        "weight": float(1 + number % 7),
        "users": USERS_PER_CALLER,
        "api_keys": 1,
        "models": {f"{provider}/{model}": float(1 + i) for i, (provider, model) in enumerate(models)},
        "input_tokens": {"median": 1_800, "sigma": 0.8},
        "output_tokens": {"median": 300, "sigma": 0.7},
        "max_tokens": 2_048 if number % 3 else None,
        "prompt_cache_share": 0.5 if number % 2 else 0.0,
        "reasoning_share": 0.2 if number % 5 == 0 else 0.0,
        "service_tiers": {"standard": 8.0, "batch": 1.0, "priority": 1.0},
    }


def scenario(prices: Path, world: Path, events: int, batch: int, seed: int) -> Scenario:
    """About `events` calls that end now, half a percent of them sent twice. `batch` 0: single records."""
    return Scenario.model_validate({
        "name": "bench",
        "seed": seed,
        "rate_per_s": EVENTS_PER_S,
        "history_days": events / EVENTS_PER_S / DAY_S,
        "prices": str(prices),
        "world": str(world),
        "history_batches": {"share": 1.0 if batch else 0.0, "size": batch or 1},
        "faults": {"duplicates": 0.005, "resend_after": "5s"},
    })  # fmt: skip


async def preload(
    prices: Path, world: Path, events: int, batch: int, seed: int, bootstrap: str, progress: Callable[[Progress], None]
) -> TruthFile:
    """Put the workload on `usage`; returns what must come out of it."""
    plan = scenario(prices, world, events, batch, seed)
    return await run_scenario(plan, target=Target(bootstrap, progress=progress))
