"""The company a load comes from, as declared in a world file: who calls what, how often, with how many tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

STRICT = {"extra": "forbid"}  # a misspelt field of a world file is an error, not a default


@dataclass(frozen=True)
class Tokens:
    """Log-normal token counts: `median`, spread `sigma` (natural log), never above `maximum`."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    median: int
    sigma: float = 0.6
    maximum: int = 200_000


@dataclass(frozen=True)
class Caller:
    """One feature of one service of one team, and how it uses models (`provider/model` → weight)."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    team: str
    service: str
    feature: str
    models: Mapping[str, float]
    org: str = "default"
    project: str | None = None
    environment: str | None = "prod"
    cost_center: str | None = None
    region: str | None = None
    operation: str = "chat"
    criticality: str | None = None
    weight: float = 1.0
    users: int = 100
    api_keys: int = 3
    input_tokens: Tokens = Tokens(1_500)
    output_tokens: Tokens = Tokens(300)
    max_tokens: int | None = None
    repeat_share: float = 0.1  # prompts that were asked before, word by word
    prompt_cache_share: float = 0.0  # part of the input the provider's prompt cache holds
    reasoning_share: float = 0.0
    image_share: float = 0.0
    gateway_cache_share: float = 0.0
    service_tiers: Mapping[str, float] = field(default_factory=lambda: {"standard": 1.0})


@dataclass(frozen=True)
class WorldSpec:
    """The company and its rhythm. `daily_swing` 0..1: how much busier the afternoon is; `weekend` is a factor."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    callers: tuple[Caller, ...]
    error_share: float = 0.01
    daily_swing: float = 0.6
    busiest_hour: float = 15.0
    weekend: float = 0.35
    requests_per_record: int = 1  # what a service that sums up before it reports does; tokens are sums then
