"""GPU readings and books for tests, with amounts a reader can check in the head."""

from decimal import Decimal
from typing import Any

from spendstream.domain.attribution.owners import parse_owner
from spendstream.domain.gpu import (
    SM,
    GpuBook,
    GpuOwners,
    GpuPriceBook,
    GpuPriceRevision,
    RatedSample,
    rate_sample,
    read_sample,
)
from spendstream.domain.prices import GpuPrice, parse_price

HOUR_MS = 3_600_000
USD = 10**12
NULLABLE = (
    "declared_interval_ms", "parent_uuid", "fraction", "fraction_from", "time_slices", "utilization", "sm_active",
    "engine_active", "memory_used_bytes", "memory_total_bytes",
)  # fmt: skip
PROCESS = (
    "pid", "pod", "namespace", "container", "job", "team", "project", "environment", "cost_center", "service",
    "mig_instance", "time_slices", "sm_share", "memory_bytes",
)  # fmt: skip
INSTANCE = ("utilization", "sm_active", "engine_active", "memory_used_bytes", "memory_total_bytes")


def reading(*processes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An hour of a $4 device, as decoded from the topic."""
    instances = [{**dict.fromkeys(INSTANCE), **instance} for instance in fields.pop("instances", [])]
    return {
        **dict.fromkeys(NULLABLE), "org": "default", "gpu_uuid": "GPU-1", "sampled_at": HOUR_MS * 1_000,
        "interval_ms": HOUR_MS, "gpu_model": "NVIDIA X1", "host": "node-1", "labels": {},
        "processes": [{**dict.fromkeys(PROCESS), **process} for process in processes], "instances": instances, **fields,
    }  # fmt: skip


def price(
    usd: str = "4.00", gpu: str = "NVIDIA X1", start: str = "1970-01-01", name: str = "", **more: Any
) -> GpuPriceRevision:
    """A revision of a GPU's price; `revision` and `known_at` count as one."""
    revision = more.pop("revision", 1)
    parsed = parse_price({"gpu": gpu, "usd_per_hour": Decimal(usd), "effective_from": start, **more}).price
    assert isinstance(parsed, GpuPrice)
    return GpuPriceRevision(name or f"gpu/{gpu}/{parsed.region}", parsed, revision, revision)


def book(*owners: dict[str, Any], basis: str = SM, prices: list[GpuPriceRevision] | None = None) -> GpuBook:
    """The $4 device, and owners named a, b, c, … in their order."""
    parsed = [parse_owner("default", chr(97 + i), spec) for i, spec in enumerate(owners)]
    assert not [errors for _, errors in parsed if errors]
    found = GpuOwners(owner for owner, _ in parsed if owner)
    return GpuBook(GpuPriceBook([price()] if prices is None else prices), found, basis)


def rated(record: dict[str, Any], declared: GpuBook | None = None) -> RatedSample:
    return rate_sample(read_sample(record), declared or book())


def buckets(record: dict[str, Any], declared: GpuBook | None = None) -> dict[str, int]:
    """Pico-dollars by bucket: team, idle:team, or idle."""
    found: dict[str, int] = {}
    for row in rated(record, declared).rows:
        team = row.owned.tags.get("team", "")
        name = {"used": team, "idle_owner": f"idle:{team}", "idle": "idle"}[row.kind]
        found[name] = found.get(name, 0) + row.cost_pico_usd
    return found
