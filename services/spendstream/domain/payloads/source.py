"""What a table of this package may say about a payload."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from spendstream.domain.tokens import REPORTED

COUNTS: Final = frozenset((*REPORTED, "requests", "latency_ms", "max_tokens"))

#: OTel GenAI and gateway names of providers, as the price catalogue calls them.
PROVIDERS: Final[Mapping[str, str]] = {
    "amazon-bedrock": "aws",
    "amazon_bedrock": "aws",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google_ai_studio": "google",
    "google_genai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "fireworks_ai": "fireworks",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "vertexai": "google",
    "x_ai": "x-ai",
    "xai": "x-ai",
}

#: How names of models begin, and who makes them; for tools that do not write down who served a call.
FAMILIES: Final[Mapping[str, str]] = {
    "chatgpt": "openai",
    "claude": "anthropic",
    "codestral": "mistral",
    "command": "cohere",
    "deepseek": "deepseek",
    "gemini": "google",
    "gemma": "google",
    "gpt-": "openai",
    "grok": "x-ai",
    "kimi": "moonshotai",
    "llama": "meta",
    "ministral": "mistral",
    "mistral": "mistral",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "sonar": "perplexity",
    "text-embedding-": "openai",
    "voyage": "voyageai",
}

#: Providers' names of service tiers, as prices call them; `None` says nothing about the tier that was used.
TIERS: Final[Mapping[str, str | None]] = {
    "auto": None,
    "default": "standard",
    "not_available": None,
    "on_demand": "standard",
    "on_demand_flex": "flex",
    "on_demand_priority": "priority",
    "standard_only": "standard",
    "true": "batch",  # OpenAI's report has a column `batch`
    "false": None,
}

#: Names of operations, as OTel GenAI calls them.
OPERATIONS: Final[Mapping[str, str]] = {
    "acompletion": "chat",
    "aembedding": "embeddings",
    "aimage_generation": "image_generation",
    "anthropic_messages": "chat",
    "aresponses": "chat",
    "atext_completion": "text_completion",
    "atranscription": "transcription",
    "chat.completion": "chat",
    "chat.completion.chunk": "chat",
    "completion": "chat",
    "converse": "chat",
    "conversestream": "chat",
    "embedding": "embeddings",
    "invokemodel": "chat",
    "invokemodelwithresponsestream": "chat",
    "list": "embeddings",
    "llm": "chat",
    "message": "chat",
    "responses": "chat",
    "response": "chat",
}


#: Outcomes of a call, as Usage calls them; any other text is an error class of its own.
STATUSES: Final[Mapping[str, str]] = {
    "200": "ok",
    "400": "error",
    "408": "timeout",
    "429": "rate_limited",
    "500": "error",
    "502": "error",
    "503": "error",
    "504": "timeout",
    "completed": "ok",
    "debug": "ok",
    "default": "ok",
    "failure": "error",
    "succeeded": "ok",
    "success": "ok",
    "warning": "ok",
}


@dataclass(frozen=True)
class Check:
    """A total the payload reports, and what it should be: the sum of Usage fields. It holds when one of `sums` does."""

    reported: str
    sums: tuple[tuple[str, ...], ...]


INCLUSIVE: Final = (("input_tokens", "output_tokens"),)
DISJOINT: Final = (tuple(REPORTED),)


@dataclass(frozen=True)
class Source:
    """One payload shape as a table.

    `known_by`: expressions that are all there in a payload of this shape. `fields`: Usage field → expression
    (`paths.py`). `fixed`: Usage fields that are the same in every payload. `required`: Usage fields that must be found.
    `checks`: totals to compare with. `otherwise`: other readings of the same shape; the first whose checks hold is
    taken when the checks of this one do not. `provider_by_model`: when nobody says who served the call, it is whoever
    makes the model (`FAMILIES`).
    """

    name: str
    convention: str
    known_by: tuple[str, ...]
    fields: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ("model", "input_tokens", "output_tokens")
    checks: tuple[Check, ...] = ()
    otherwise: tuple["Source", ...] = ()
    provider_by_model: bool = False


@dataclass(frozen=True)
class Envelope:
    """A wrapping around a payload: batch results, streaming events. `only_if`: a path and the values it may have.

    `adds`: Usage fields the wrapping itself says.
    """

    at: str
    adds: Mapping[str, Any] = field(default_factory=dict)
    only_if: tuple[str, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Adapted:
    """A payload as Usage fields: counts, convention, and whatever else it says. Fields it does not mention are absent.

    `mismatch`: how reported totals differ from the classes, or empty; it is also in `fields["attributes"]`.
    """

    source: str
    fields: Mapping[str, Any]
    mismatch: str = ""


@dataclass(frozen=True)
class Refused:
    """A payload that cannot be usage.

    `reason`: unknown_shape, missing_fields, not_a_count, negative_tokens, negative_requests, negative_latency_ms,
    negative_max_tokens, negative_bucket or token_limit. `missing`: Usage fields that were not found, with where they
    were looked for.
    """

    reason: str
    detail: str
    missing: tuple[str, ...] = ()
