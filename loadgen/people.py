"""The columns of many events at once: owners, models, users, tokens, outcomes; and the records made of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.company import Caller, WorldSpec
from loadgen.wire import defaults

PROMPT_POOL = 500
DISJOINT_PROVIDERS = frozenset({"anthropic"})
FAILURES = ("error", "timeout", "rate_limited")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Record = dict[str, Any]


class People:
    """Draws the columns of many events at once, then turns them into records."""

    def __init__(self, spec: WorldSpec, seed: int) -> None:
        self.spec = spec
        callers = spec.callers
        weights = np.array([c.weight for c in callers])
        self._caller_p = np.cumsum(weights / weights.sum())
        self._model_cum = _cumulative([list(c.models.values()) for c in callers])
        self._tier_cum = _cumulative([list(c.service_tiers.values()) for c in callers])
        self._bases = [[base_record(c, model) for model in c.models] for c in callers]
        self._tiers = [list(c.service_tiers) for c in callers]
        self._users = [[f"u-{c.team}-{n:04d}" for n in range(c.users)] for c in callers]
        self._keys = [[f"key-{c.service}-{n}" for n in range(c.api_keys)] for c in callers]
        rng = np.random.default_rng([seed, 0xC0FFEE])
        self._pool_z = rng.standard_normal((len(callers), PROMPT_POOL))
        self._pool_hash = rng.integers(1 << 62, size=(len(callers), PROMPT_POOL))

    def _of(self, name: str, caller: Ints) -> Floats:
        return np.array([getattr(c, name) for c in self.spec.callers], dtype=float)[caller]

    def _law(self, name: str, caller: Ints, z: Floats) -> Ints:
        laws = [getattr(c, name) for c in self.spec.callers]
        median, sigma, top = (
            np.array([getattr(law, part) for law in laws], dtype=float)[caller]
            for part in ("median", "sigma", "maximum")
        )
        tokens: Ints = np.clip(median * np.exp(sigma * z), 1, top).astype(np.int64)
        return tokens

    def records(
        self, rng: np.random.Generator, times: Ints, traced_in: Ints | None = None, traced_out: Ints | None = None
    ) -> list[Record]:
        n = len(times)
        caller = np.searchsorted(self._caller_p, rng.random(n)).clip(0, len(self._bases) - 1)
        repeat = rng.random(n) < self._of("repeat_share", caller)
        prompt = (rng.random(n) ** 3 * PROMPT_POOL).astype(np.int64)  # few prompts are asked most often
        z = np.where(repeat, self._pool_z[caller, prompt], rng.standard_normal(n))
        hashes = np.where(repeat, self._pool_hash[caller, prompt], rng.integers(1 << 62, size=n))
        total_in = self._law("input_tokens", caller, z) if traced_in is None else traced_in
        total_out = self._law("output_tokens", caller, rng.standard_normal(n)) if traced_out is None else traced_out
        caps = np.array([c.max_tokens or 0 for c in self.spec.callers])[caller]
        if traced_out is None:
            total_out = np.where(caps > 0, np.minimum(total_out, np.maximum(caps, 1)), total_out)
        failed = rng.random(n) < (self.spec.error_share if traced_in is None else 0)
        columns = {
            "caller": caller,
            "model": _pick(self._model_cum, caller, rng.random(n)),
            "tier": _pick(self._tier_cum, caller, rng.random(n)),
            "user": (rng.random(n) ** 2 * self._of("users", caller)).astype(np.int64),
            "key": (rng.random(n) * self._of("api_keys", caller)).astype(np.int64),
            "hash": hashes,
            "input": total_in,
            "output": np.where(failed, 0, total_out),
            "failure": np.where(failed, rng.integers(1, 4, n), 0),
            "cached": self._share(rng, "prompt_cache_share", caller, total_in),
            "reasoning": np.where(failed, 0, self._share(rng, "reasoning_share", caller, total_out)),
            "image": np.where(rng.random(n) < self._of("image_share", caller), total_in // 4, 0),
            "gateway": rng.random(n) < self._of("gateway_cache_share", caller),
            "latency": (150 + 12 * total_out * rng.uniform(0.6, 1.4, n)).astype(np.int64),
            "time": times,
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [self._record(row) for row in rows]

    def _share(self, rng: np.random.Generator, name: str, caller: Ints, total: Ints) -> Ints:
        part: Ints = (total * np.clip(self._of(name, caller) * rng.uniform(0.5, 1.3, len(total)), 0, 0.95)).astype(
            np.int64
        )
        return part

    def _record(self, row: tuple[Any, ...]) -> Record:
        """One record from a row of the columns, in the order of `records`."""
        caller, model, tier, user, key, prompt, total_in, total_out = row[:8]
        failure, cached, reasoning, image, gateway, latency, time = row[8:]
        record: Record = self._bases[caller][model].copy()
        record["attributes"] = {}
        record["occurred_at"] = time
        record["user_id"] = self._users[caller][user]
        record["api_key_id"] = self._keys[caller][key]
        record["service_tier"] = self._tiers[caller][tier]
        record["prompt_hash"] = f"{prompt:016x}"
        record["latency_ms"] = latency
        record["cache_hit"] = gateway
        if failure:
            record["status"] = FAILURES[failure - 1]
        if record["convention"] == "disjoint":
            written = cached // 8
            record["input_tokens"] = total_in - cached
            record["cache_read_tokens"] = cached - written
            record["cache_write_5m_tokens"] = written
            record["output_tokens"] = total_out  # thinking is inside and not reported apart
        else:
            record["input_tokens"] = total_in
            record["cache_read_tokens"] = 0 if image else cached
            record["image_input_tokens"] = image
            record["output_tokens"] = total_out
            record["reasoning_tokens"] = reasoning
        return record


def base_record(caller: Caller, model: str) -> Record:
    """What never changes in the records of one caller and one model."""
    provider, _, name = model.partition("/")
    disjoint = provider in DISJOINT_PROVIDERS
    same = ("org", "team", "service", "feature", "project", "environment", "cost_center", "region", "operation")
    return {
        **defaults(),
        **{name: getattr(caller, name) for name in same},
        "criticality": caller.criticality,
        "max_tokens": caller.max_tokens,
        "provider": provider,
        "model": name,
        "convention": "disjoint" if disjoint else "inclusive",
        "prefix_hash": f"{caller.service}-{caller.feature}" if caller.prompt_cache_share else None,
    }


def _cumulative(weights: list[list[float]]) -> Floats:
    """Rows of cumulative shares, padded with 2 (never drawn); shape (rows, widest)."""
    table = np.full((len(weights), max(map(len, weights))), 2.0)
    for row, values in enumerate(weights):
        table[row, : len(values)] = np.cumsum(values) / sum(values)
        table[row, len(values) - 1] = 1.0
    return table


def _pick(cumulative: Floats, row: Ints, u: Floats) -> Ints:
    """Index drawn by `u` in the given row of shares, for each element."""
    drawn: Ints = np.argmax(u[:, None] < cumulative[row], axis=1).astype(np.int64)
    return drawn
