"""What gateways and tracing tools write down: LiteLLM, Langfuse, Helicone.

LiteLLM turns every provider's usage into OpenAI's shape (`prompt_tokens` contains cache reads and writes) and keeps the
details in `usage_object`. Langfuse's usage types and Helicone's counts are apart from each other when their own
integrations wrote them, and contain each other when a caller passed a provider's figures through: the total tells.
"""

from dataclasses import replace

from spendstream.domain.payloads.source import DISJOINT, INCLUSIVE, Check, Source

_U = "metadata.usage_object"
_CACHED = f"{_U}.prompt_tokens_details.cached_tokens"
_WRITTEN = f"{_U}.prompt_tokens_details.cache_creation_token_details"

LITELLM = Source(
    name="litellm",
    convention="inclusive",
    known_by=("prompt_tokens", "call_type | custom_llm_provider | model_group"),
    fixed={"operation": "chat"},
    fields={
        "event_id": "id | request_id",
        "occurred_at": "startTime",
        "provider": "custom_llm_provider",
        "model": "model",
        "operation": "call_type",
        "team": "metadata.user_api_key_team_alias | metadata.user_api_key_team_id | team_id",
        "project": "metadata.user_api_key_project_alias | metadata.requester_metadata.project",
        "service": "metadata.user_api_key_alias | model_group",
        "user_id": "end_user | metadata.user_api_key_end_user_id | metadata.user_api_key_user_id | user",
        "api_key_id": "metadata.user_api_key_hash | api_key",
        "session_id": "session_id",
        "trace_id": "trace_id",
        "status": "status",
        "cache_hit": "cache_hit",
        "max_tokens": "model_parameters.max_tokens",
        "reported_cost_pico_usd": "response_cost | spend",
        "service_tier": f"{_U}.service_tier | model_parameters.service_tier",
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "cache_read_tokens": f"{_CACHED} | {_U}.cache_read_input_tokens",
        "cache_write_5m_tokens": f"{_WRITTEN}.ephemeral_5m_input_tokens | {_U}.cache_creation_input_tokens"
        f" - {_WRITTEN}.ephemeral_1h_input_tokens | {_U}.prompt_tokens_details.cache_creation_tokens",
        "cache_write_1h_tokens": f"{_WRITTEN}.ephemeral_1h_input_tokens",
        "reasoning_tokens": f"{_U}.completion_tokens_details.reasoning_tokens",
        "audio_input_tokens": f"{_U}.prompt_tokens_details.audio_tokens",
        "audio_output_tokens": f"{_U}.completion_tokens_details.audio_tokens",
        "image_input_tokens": f"{_U}.prompt_tokens_details.image_tokens",
    },
    required=("provider", "model", "input_tokens", "output_tokens"),
    checks=(Check("total_tokens", INCLUSIVE),),
)

_D = "usageDetails"


def _langfuse(details: str, fields: dict[str, str], known_by: tuple[str, ...]) -> Source:
    apart = Source(
        name="langfuse",
        convention="disjoint",
        known_by=known_by,
        fixed={"operation": "chat", "output_tokens": 0},
        fields={
            **fields,
            "input_tokens": f"{details}.input | {details}.prompt_tokens | {details}.input_tokens",
            "output_tokens": f"{details}.output | {details}.completion_tokens | {details}.output_tokens",
            "cache_read_tokens": f"{details}.input_cached_tokens | {details}.input_cache_read"
            f" | {details}.cache_read_input_tokens | {details}.cached_tokens",
            "cache_write_5m_tokens": f"{details}.input_cache_creation_5m | {details}.input_cache_creation"
            f" | {details}.cache_creation_input_tokens",
            "cache_write_1h_tokens": f"{details}.input_cache_creation_1h",
            "reasoning_tokens": f"{details}.output_reasoning_tokens | {details}.output_reasoning | {details}.reasoning",
            "audio_input_tokens": f"{details}.input_audio_tokens | {details}.input_audio",
            "audio_output_tokens": f"{details}.output_audio_tokens | {details}.output_audio",
            "image_input_tokens": f"{details}.input_image_tokens | {details}.input_image",
        },
        required=("provider", "model", "input_tokens"),
        checks=(Check(f"{details}.total", DISJOINT),),
        provider_by_model=True,
    )
    inside = replace(apart, convention="inclusive", checks=(Check(f"{details}.total", INCLUSIVE),))
    return replace(apart, otherwise=(inside,))


_OBSERVATION = {
    "event_id": "id",
    "occurred_at": "startTime",
    "model": "model | providedModelName",
    "provider": "metadata.ls_provider | metadata.attributes.gen_ai.provider.name | metadata.attributes.gen_ai.system",
    "environment": "environment",
    "service": "traceName | name",
    "user_id": "userId",
    "session_id": "sessionId",
    "trace_id": "traceId",
    "status": "level",
    "max_tokens": "modelParameters.max_tokens",
    "reported_cost_pico_usd": "costDetails.total | calculatedTotalCost | totalCost",
}

#: Observations from the API, the JSON/JSONL export and the CSV of the observations table.
LANGFUSE = _langfuse(_D, _OBSERVATION, (f"{_D}.input | {_D}.prompt_tokens | {_D}.input_tokens", "startTime"))

#: Observations of releases that knew two kinds of tokens only.
LANGFUSE_LEGACY = Source(
    name="langfuse.legacy",
    convention="inclusive",
    known_by=("usage.input | promptTokens", "startTime"),
    fixed={"operation": "chat", "output_tokens": 0},
    fields={
        **_OBSERVATION,
        "input_tokens": "usage.input | promptTokens",
        "output_tokens": "usage.output | completionTokens",
    },
    required=("provider", "model", "input_tokens"),
    checks=(Check("usage.total | totalTokens", INCLUSIVE),),
    provider_by_model=True,
)

#: Today's observations from the blob-storage export and ClickHouse: names in snake case.
LANGFUSE_SNAKE = replace(
    _langfuse(
        "usage_details",
        {
            "event_id": "id",
            "occurred_at": "start_time",
            "model": "provided_model_name | model",
            "provider": "metadata.ls_provider",
            "environment": "environment",
            "service": "trace_name | name",
            "user_id": "user_id",
            "session_id": "session_id",
            "trace_id": "trace_id",
            "status": "level",
            "reported_cost_pico_usd": "cost_details.total | total_cost",
        },
        ("usage_details.input | usage_details.prompt_tokens | usage_details.input_tokens", "start_time"),
    ),
    name="langfuse.snake",
)

_HELICONE = {
    "event_id": "request_id | requestId | id",
    "occurred_at": "request_created_at | created_at",
    "provider": "provider",
    "model": "response_model | model_override | request_model | model",
    "team": "request_properties.Team | properties.Team | request_properties.team | properties.team",
    "project": "request_properties.Project | properties.Project | request_properties.project | properties.project",
    "environment": "request_properties.Environment | properties.Environment | request_properties.environment",
    "service": "request_properties.Service | properties.Service | request_properties.App | properties.App"
    " | request_properties.appname | properties.appname",
    "session_id": "request_properties.Helicone-Session-Id | properties.Helicone-Session-Id",
    "user_id": "request_user_id | user_id | helicone_user",
    "latency_ms": "delay_ms",
    "status": "response_status",
    "cache_hit": "cache_reference_id",
    "reported_cost_pico_usd": "costUSD | cost_usd",
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "cache_read_tokens": "prompt_cache_read_tokens",
    "cache_write_5m_tokens": "prompt_cache_write_5m | prompt_cache_write_tokens - prompt_cache_write_1h",
    "cache_write_1h_tokens": "prompt_cache_write_1h",
    "audio_input_tokens": "prompt_audio_tokens",
    "audio_output_tokens": "completion_audio_tokens",
    "reasoning_tokens": "reasoning_tokens",
}

_HELICONE_APART = Source(
    name="helicone",
    convention="disjoint",
    known_by=("prompt_tokens", "request_created_at"),
    fixed={"operation": "chat", "output_tokens": 0},
    fields=_HELICONE,
    required=("provider", "model", "input_tokens"),
    checks=(Check("total_tokens", DISJOINT),),
)
HELICONE = replace(
    _HELICONE_APART,
    otherwise=(replace(_HELICONE_APART, convention="inclusive", checks=(Check("total_tokens", INCLUSIVE),)),),
)

SOURCES = (LITELLM, LANGFUSE, LANGFUSE_SNAKE, LANGFUSE_LEGACY, HELICONE)
